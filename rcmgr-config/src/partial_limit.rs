//! The limit of one scope whose fields may be unset.

use rcmgr_core::{Limit, LimitValue, Resource};

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
