//! Limits whose fields may be unset; an unset field takes a default.

use rcmgr_core::{Limit, LimitValue, Limits, LimitsKey, Resource};

use crate::PerScope;

/// A limit whose fields may be unset. `None` takes the default.
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
    /// The value for one resource, if set.
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

    /// A mutable reference to the value for one resource.
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

    /// Whether no field is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Sets each field that `other` sets and this does not.
    pub fn apply(&mut self, other: &Self) {
        for resource in Resource::ALL {
            let field = self.get_mut(resource);
            *field = field.or(other.get(resource));
        }
    }

    /// The limit, with the fields of `default` for unset fields.
    #[must_use]
    pub fn build(&self, default: &Limit) -> Limit {
        Limit::from_fn(|resource| self.get(resource).unwrap_or(default.get(resource)))
    }
}

impl From<&Limit> for PartialLimit {
    /// Sets every field.
    fn from(limit: &Limit) -> Self {
        let mut partial = Self::default();
        for resource in Resource::ALL {
            *partial.get_mut(resource) = Some(limit.get(resource));
        }
        partial
    }
}

/// Limits whose fields may be unset: the content of a limits file.
///
/// Unset fields take their values from the defaults that the limits are built over, such as
/// [`LimitsExt::auto_scale`](crate::LimitsExt). This corresponds to go-libp2p's partial
/// configuration.
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
    /// No field is set.
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
    /// Sets each field that `other` sets and this does not, and adds names that only `other` has.
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

    /// The limits, with the defaults for unset fields.
    ///
    /// The default of a named entry is the entry of that name in `defaults`, else the newly built
    /// default of its class. Names that only `defaults` has are kept unchanged.
    ///
    /// If `defaults` has no limit for services without an entry, neither has the result, unless
    /// `service_default` sets a field. Then the unset fields of `service_default`, and of services'
    /// entries, are unlimited.
    #[must_use]
    pub fn build(&self, defaults: &Limits) -> Limits {
        let mut built = defaults.clone();
        // The order of keys puts a class's default before its named entries, which look it up.
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
    /// Sets every field of every entry. Building the result over defaults without named entries
    /// gives the same limits again. The exception is a `service_default` of `None`, which is taken
    /// from the defaults.
    fn from(limits: &Limits) -> Self {
        let mut partial = Self::default();
        for (key, limit) in limits.entries() {
            *partial.entry(key) = PartialLimit::from(&limit);
        }
        partial
    }
}
