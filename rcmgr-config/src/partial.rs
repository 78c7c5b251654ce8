//! Limits in which any field may be left to a default.

use rcmgr_core::{Limit, LimitValue, Limits, LimitsKey, Resource};

use crate::PerScope;

/// A limit of which any field may be left to a default: `None` is that.
///
/// ```
/// use rcmgr_config::PartialLimit;
/// use rcmgr_core::{Limit, LimitValue};
///
/// let partial = PartialLimit {
///     conns: Some(LimitValue::Limited(8)),
///     ..PartialLimit::default()
/// };
/// assert_eq!(
///     partial.build(&Limit::UNLIMITED),
///     Limit { conns: LimitValue::Limited(8), ..Limit::UNLIMITED },
/// );
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PartialLimit {
    /// Memory, in bytes.
    pub memory: Option<LimitValue>,
    /// File descriptors.
    pub fd: Option<LimitValue>,
    /// Streams of both directions together.
    pub streams: Option<LimitValue>,
    /// Streams that the remote opened.
    pub streams_inbound: Option<LimitValue>,
    /// Streams that we opened.
    pub streams_outbound: Option<LimitValue>,
    /// Connections of both directions together.
    pub conns: Option<LimitValue>,
    /// Connections that the remote opened.
    pub conns_inbound: Option<LimitValue>,
    /// Connections that we opened.
    pub conns_outbound: Option<LimitValue>,
}

impl PartialLimit {
    /// What is set for one resource.
    pub const fn get(&self, resource: Resource) -> Option<LimitValue> {
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

    /// What is set for one resource, to be changed.
    pub const fn get_mut(&mut self, resource: Resource) -> &mut Option<LimitValue> {
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

    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Sets what `other` sets and this does not.
    pub fn apply(&mut self, other: &Self) {
        for resource in Resource::ALL {
            let field = self.get_mut(resource);
            *field = field.or(other.get(resource));
        }
    }

    /// The limit, with `default` where nothing is set.
    #[must_use]
    pub fn build(&self, default: &Limit) -> Limit {
        Limit::from_fn(|resource| self.get(resource).unwrap_or(default.get(resource)))
    }
}

impl From<&Limit> for PartialLimit {
    /// Every field set.
    fn from(limit: &Limit) -> Self {
        let mut partial = Self::default();
        for resource in Resource::ALL {
            *partial.get_mut(resource) = Some(limit.get(resource));
        }
        partial
    }
}

/// Limits of which any field may be left to a default: what a file of limits holds.
///
/// What they mean for each scope comes with the defaults that they are built over, such as
/// [`LimitsExt::auto_scale`](crate::LimitsExt). This is go-libp2p's partial configuration.
///
/// ```
/// use rcmgr_config::PartialLimits;
/// use rcmgr_core::{Limits, LimitValue};
///
/// let mut partial = PartialLimits::default();
/// partial.system.conns = Some(LimitValue::Limited(100));
/// partial.service.entry("dht".into()).or_default().fd = Some(LimitValue::BLOCK_ALL);
/// let limits = partial.build(&Limits::unlimited());
/// assert_eq!(limits.system.conns, LimitValue::Limited(100));
/// assert_eq!(limits.service["dht"].fd, LimitValue::BLOCK_ALL);
/// assert_eq!(limits.service["dht"].memory, LimitValue::Unlimited);
/// ```
pub type PartialLimits = PerScope<PartialLimit>;

impl Default for PartialLimits {
    /// Nothing is set.
    fn default() -> Self {
        let unset = PartialLimit::default();
        Self {
            system: unset,
            transient: unset,
            allowlisted_system: unset,
            allowlisted_transient: unset,
            service_default: unset,
            service: Default::default(),
            service_peer_default: unset,
            service_peer: Default::default(),
            protocol_default: unset,
            protocol: Default::default(),
            protocol_peer_default: unset,
            protocol_peer: Default::default(),
            peer_default: unset,
            peer: Default::default(),
            conn: unset,
            stream: unset,
        }
    }
}

impl PartialLimits {
    /// Sets what `other` sets and this does not; names that only `other` has are added.
    ///
    /// ```
    /// use rcmgr_config::PartialLimits;
    /// use rcmgr_core::LimitValue;
    ///
    /// let mut mine = PartialLimits::default();
    /// mine.conn.fd = Some(LimitValue::Limited(1));
    /// let mut other = PartialLimits::default();
    /// other.conn.fd = Some(LimitValue::Limited(7));
    /// other.conn.memory = Some(LimitValue::Unlimited);
    /// mine.apply(&other);
    /// assert_eq!(mine.conn.fd, Some(LimitValue::Limited(1)));
    /// assert_eq!(mine.conn.memory, Some(LimitValue::Unlimited));
    /// ```
    pub fn apply(&mut self, other: &Self) {
        for (key, limit) in other.entries() {
            self.entry(key).apply(limit);
        }
    }

    /// The limits, with the defaults where nothing is set.
    ///
    /// A named entry is built over the defaults' entry of that name, else over the default of its
    /// class as just built. Names that only the defaults have are kept as they are.
    ///
    /// Where the defaults have no limit for services without an entry, there is none afterwards
    /// either, unless `service_default` sets a field; what it does not set, and what a service's
    /// entry does not set, is then unlimited.
    #[must_use]
    pub fn build(&self, defaults: &Limits) -> Limits {
        let mut built = defaults.clone();
        // A class's default comes before its named entries, which look it up.
        for (key, partial) in self.entries() {
            if key == LimitsKey::ServiceDefault && partial.is_default() {
                continue;
            }
            let default = built.lookup(&key).unwrap_or(Limit::UNLIMITED);
            built.set(key, partial.build(&default));
        }
        built
    }
}

impl From<&Limits> for PartialLimits {
    /// Every field of every entry set. Built over defaults without named entries of their own it
    /// gives the same limits again, but for a `service_default` of `None`, which is left to the
    /// defaults.
    fn from(limits: &Limits) -> Self {
        let mut partial = Self::default();
        for (key, limit) in limits.entries() {
            *partial.entry(key) = PartialLimit::from(&limit);
        }
        partial
    }
}
