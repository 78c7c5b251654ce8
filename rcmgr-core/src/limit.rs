use std::fmt;

use crate::{Resource, ScopeStat};

/// One limit: a number, or none. Unlimited is more than any number.
///
/// ```
/// use rcmgr_core::LimitValue;
///
/// assert!(LimitValue::Limited(8).allows(8));
/// assert!(!LimitValue::BLOCK_ALL.allows(1));
/// assert!(LimitValue::Unlimited.allows(u64::MAX));
/// assert_eq!(LimitValue::from(8).to_string(), "8");
/// assert_eq!(LimitValue::Unlimited.to_string(), "unlimited");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitValue {
    /// At most this much (bytes for memory, else a count).
    Limited(u64),
    /// As much as the counters can hold.
    Unlimited,
}

impl LimitValue {
    /// Nothing at all is granted.
    pub const BLOCK_ALL: Self = Self::Limited(0);

    /// Whether usage of `amount` is within this limit.
    #[inline]
    pub const fn allows(self, amount: u64) -> bool {
        match self {
            Self::Limited(limit) => amount <= limit,
            Self::Unlimited => true,
        }
    }

    /// What is left when `used` is used: zero where usage is over the limit.
    pub const fn less(self, used: u64) -> Self {
        match self {
            Self::Limited(limit) => Self::Limited(limit.saturating_sub(used)),
            Self::Unlimited => Self::Unlimited,
        }
    }
}

impl From<u64> for LimitValue {
    fn from(limit: u64) -> Self {
        Self::Limited(limit)
    }
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(limit) => fmt::Display::fmt(limit, f),
            Self::Unlimited => f.pad("unlimited"),
        }
    }
}

/// What one scope may use: eight limits.
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
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// No limit on anything.
    pub const UNLIMITED: Self = Self::all(LimitValue::Unlimited);
    /// Nothing is granted.
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

    /// The limit of one resource, to be changed.
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

    /// What is left under this limit when `stat` is used, field by field. A field that is
    /// unlimited stays so; one that is over its limit has zero left.
    pub const fn less(&self, stat: &ScopeStat) -> Self {
        Self {
            memory: self.memory.less(stat.memory),
            fd: self.fd.less(stat.fd),
            streams: self.streams.less(stat.streams()),
            streams_inbound: self.streams_inbound.less(stat.streams_inbound),
            streams_outbound: self.streams_outbound.less(stat.streams_outbound),
            conns: self.conns.less(stat.conns()),
            conns_inbound: self.conns_inbound.less(stat.conns_inbound),
            conns_outbound: self.conns_outbound.less(stat.conns_outbound),
        }
    }

    /// The lower of two limits, field by field.
    #[must_use]
    pub fn lower(&self, other: &Self) -> Self {
        Self {
            memory: self.memory.min(other.memory),
            fd: self.fd.min(other.fd),
            streams: self.streams.min(other.streams),
            streams_inbound: self.streams_inbound.min(other.streams_inbound),
            streams_outbound: self.streams_outbound.min(other.streams_outbound),
            conns: self.conns.min(other.conns),
            conns_inbound: self.conns_inbound.min(other.conns_inbound),
            conns_outbound: self.conns_outbound.min(other.conns_outbound),
        }
    }

    /// The first field that `stat` is over, if any. Usage may be over a limit that was lowered.
    pub fn exceeded_by(&self, stat: &ScopeStat) -> Option<Resource> {
        let used = |resource| match resource {
            Resource::Memory => stat.memory,
            Resource::Fd => stat.fd,
            Resource::Streams => stat.streams(),
            Resource::StreamsInbound => stat.streams_inbound,
            Resource::StreamsOutbound => stat.streams_outbound,
            Resource::Conns => stat.conns(),
            Resource::ConnsInbound => stat.conns_inbound,
            Resource::ConnsOutbound => stat.conns_outbound,
        };
        Resource::ALL
            .into_iter()
            .find(|&resource| !self.get(resource).allows(used(resource)))
    }
}
