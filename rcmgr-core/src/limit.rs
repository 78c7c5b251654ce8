//! The limit of one scope.

use std::fmt;

use crate::{Resource, ScopeStat};

/// One limit: a number or unlimited. Unlimited is greater than any number.
///
/// A number over [`LARGEST`](Self::LARGEST) means unlimited, everywhere: programs and files that
/// write a limit as a signed number of 64 bits have no larger one. [`from`](Self::from) makes such a
/// number [`Unlimited`](Self::Unlimited), and [`number`](Self::number) gives none for it.
///
/// ```
/// use rcmgr_core::LimitValue;
///
/// assert!(LimitValue::Limited(8).allows(8));
/// assert!(!LimitValue::BLOCK_ALL.allows(1));
/// assert!(LimitValue::Unlimited.allows(u64::MAX));
/// assert_eq!(LimitValue::from(8).to_string(), "8");
/// assert_eq!(LimitValue::Unlimited.to_string(), "unlimited");
/// assert_eq!(LimitValue::from(u64::MAX), LimitValue::Unlimited);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitValue {
    /// At most this amount: bytes for memory, a count for other resources.
    Limited(u64),
    /// Limited only by the range of the counters.
    Unlimited,
}

impl LimitValue {
    /// A limit of zero: grants nothing.
    pub const BLOCK_ALL: Self = Self::Limited(0);

    /// The largest number that is a limit: 2^63 - 1.
    pub const LARGEST: u64 = i64::MAX as u64;

    /// The limit with this number; unlimited for a number over [`LARGEST`](Self::LARGEST).
    #[inline]
    pub const fn of(number: u64) -> Self {
        if number <= Self::LARGEST {
            Self::Limited(number)
        } else {
            Self::Unlimited
        }
    }

    /// The number; `None` for unlimited. All that writes, prints or enforces a limit uses this
    /// number.
    ///
    /// ```
    /// use rcmgr_core::LimitValue;
    ///
    /// assert_eq!(LimitValue::Limited(8).number(), Some(8));
    /// assert_eq!(LimitValue::Unlimited.number(), None);
    /// assert_eq!(LimitValue::Limited(u64::MAX).number(), None);
    /// ```
    #[inline]
    pub const fn number(self) -> Option<u64> {
        match self {
            Self::Limited(limit) if limit <= Self::LARGEST => Some(limit),
            _ => None,
        }
    }

    /// Whether a usage of `amount` is within this limit.
    #[inline]
    pub const fn allows(self, amount: u64) -> bool {
        match self.number() {
            Some(limit) => amount <= limit,
            None => true,
        }
    }

    /// The amount left when `used` is in use; zero if usage is over the limit.
    pub const fn less(self, used: u64) -> Self {
        match self.number() {
            Some(limit) => Self::Limited(limit.saturating_sub(used)),
            None => Self::Unlimited,
        }
    }
}

/// Only from `u64`, so that a literal needs no suffix in `limits.system.conns = 128.into()`.
impl From<u64> for LimitValue {
    fn from(number: u64) -> Self {
        Self::of(number)
    }
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(limit) => fmt::Display::fmt(&limit, f),
            None => f.pad("unlimited"),
        }
    }
}

/// The limits of one scope, one for each of eight resources.
///
/// ```
/// use rcmgr_core::{Limit, LimitValue, MIB};
///
/// let limit = Limit {
///     memory: LimitValue::Limited(64 * MIB),
///     conns_inbound: LimitValue::Limited(8),
///     ..Limit::UNLIMITED
/// };
/// assert_eq!(limit.streams, LimitValue::Unlimited);
/// assert_eq!(limit.to_string(), "Memory 67108864, ConnsInbound 8");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Memory, in bytes.
    pub memory: LimitValue,
    /// File descriptors.
    pub fd: LimitValue,
    /// Streams of both directions together.
    pub streams: LimitValue,
    /// Streams that the remote opened.
    pub streams_inbound: LimitValue,
    /// Streams that we opened.
    pub streams_outbound: LimitValue,
    /// Connections of both directions together.
    pub conns: LimitValue,
    /// Connections that the remote opened.
    pub conns_inbound: LimitValue,
    /// Connections that we opened.
    pub conns_outbound: LimitValue,
}

impl Limit {
    /// No limit on any resource.
    pub const UNLIMITED: Self = Self::all(LimitValue::Unlimited);
    /// Zero for every resource: grants nothing.
    pub const BLOCK_ALL: Self = Self::all(LimitValue::BLOCK_ALL);

    /// The same limit for all eight fields.
    pub const fn all(value: LimitValue) -> Self {
        Self {
            memory: value,
            fd: value,
            streams: value,
            streams_inbound: value,
            streams_outbound: value,
            conns: value,
            conns_inbound: value,
            conns_outbound: value,
        }
    }

    /// Sets each field to the value that `limit_of` returns for its resource.
    ///
    /// ```
    /// use rcmgr_core::{Limit, LimitValue};
    ///
    /// let usual = Limit::all(LimitValue::Limited(100));
    /// let half = Limit::from_fn(|resource| match usual.get(resource) {
    ///     LimitValue::Limited(limit) => LimitValue::Limited(limit / 2),
    ///     LimitValue::Unlimited => LimitValue::Unlimited,
    /// });
    /// assert_eq!(half.conns, LimitValue::Limited(50));
    /// ```
    pub fn from_fn(mut limit_of: impl FnMut(Resource) -> LimitValue) -> Self {
        Self {
            memory: limit_of(Resource::Memory),
            fd: limit_of(Resource::Fd),
            streams: limit_of(Resource::Streams),
            streams_inbound: limit_of(Resource::StreamsInbound),
            streams_outbound: limit_of(Resource::StreamsOutbound),
            conns: limit_of(Resource::Conns),
            conns_inbound: limit_of(Resource::ConnsInbound),
            conns_outbound: limit_of(Resource::ConnsOutbound),
        }
    }

    /// The limit of one resource.
    pub const fn get(&self, resource: Resource) -> LimitValue {
        match resource {
            Resource::Memory => self.memory,
            Resource::Fd => self.fd,
            Resource::Streams => self.streams,
            Resource::StreamsInbound => self.streams_inbound,
            Resource::StreamsOutbound => self.streams_outbound,
            Resource::Conns => self.conns,
            Resource::ConnsInbound => self.conns_inbound,
            Resource::ConnsOutbound => self.conns_outbound,
        }
    }

    /// A mutable reference to the limit of one resource.
    ///
    /// ```
    /// use rcmgr_core::{Limit, LimitValue, Resource};
    ///
    /// let mut limit = Limit::UNLIMITED;
    /// *limit.get_mut(Resource::Fd) = LimitValue::Limited(64);
    /// assert_eq!(limit.fd, LimitValue::Limited(64));
    /// ```
    pub const fn get_mut(&mut self, resource: Resource) -> &mut LimitValue {
        match resource {
            Resource::Memory => &mut self.memory,
            Resource::Fd => &mut self.fd,
            Resource::Streams => &mut self.streams,
            Resource::StreamsInbound => &mut self.streams_inbound,
            Resource::StreamsOutbound => &mut self.streams_outbound,
            Resource::Conns => &mut self.conns,
            Resource::ConnsInbound => &mut self.conns_inbound,
            Resource::ConnsOutbound => &mut self.conns_outbound,
        }
    }

    /// The limits of all resources with their resources, in the order of [`Resource::ALL`].
    ///
    /// ```
    /// use rcmgr_core::{Limit, LimitValue};
    ///
    /// let limit = Limit { fd: LimitValue::Limited(64), ..Limit::UNLIMITED };
    /// let limited = limit.iter().filter(|(_, value)| *value != LimitValue::Unlimited);
    /// assert_eq!(limited.count(), 1);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (Resource, LimitValue)> + use<> {
        let limit = *self;
        Resource::ALL
            .into_iter()
            .map(move |resource| (resource, limit.get(resource)))
    }

    /// The amount left under this limit when `stat` is in use, field by field. An unlimited field
    /// stays unlimited; a field over its limit has zero left.
    #[must_use]
    pub fn less(&self, stat: &ScopeStat) -> Self {
        Self::from_fn(|resource| self.get(resource).less(stat.get(resource)))
    }

    /// The lower of two limits, field by field.
    #[must_use]
    pub fn lower(&self, other: &Self) -> Self {
        Self::from_fn(|resource| self.get(resource).min(other.get(resource)))
    }

    /// The first resource for which `stat` is over this limit, if any. Usage can be over a limit
    /// that was lowered.
    pub fn exceeded_by(&self, stat: &ScopeStat) -> Option<Resource> {
        let over = |&resource: &Resource| !self.get(resource).allows(stat.get(resource));
        Resource::ALL.into_iter().find(over)
    }
}

impl fmt::Display for Limit {
    /// The limited fields, memory in bytes, such as `Memory 67108864, ConnsInbound 8`; `unlimited`
    /// if no field is limited.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (resource, value) in self.iter() {
            if let Some(limit) = value.number() {
                write!(f, "{separator}{resource} {limit}")?;
                separator = ", ";
            }
        }
        if separator.is_empty() {
            f.write_str("unlimited")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limit({self})")
    }
}
