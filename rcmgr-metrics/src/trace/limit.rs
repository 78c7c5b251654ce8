//! The limit of a scope as it is written in a trace.

use rcmgr_core::{Limit, LimitValue, Resource};
use serde::{Deserialize, Serialize};

/// The limit of a scope in a trace. A missing field is 0. The largest signed number of 64 bits, and
/// any larger number, means unlimited.
///
/// ```
/// use rcmgr_core::{Limit, LimitValue};
/// use rcmgr_metrics::trace::RecordedLimit;
///
/// let limit = Limit { fd: LimitValue::Limited(8), ..Limit::UNLIMITED };
/// let recorded = RecordedLimit::from(limit);
/// assert_eq!((recorded.fd, recorded.memory), (8, u64::MAX / 2));
/// assert_eq!(Limit::from(recorded), limit);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RecordedLimit {
    /// Streams of both directions together.
    #[serde(skip_serializing_if = "is_zero")]
    pub streams: u64,
    /// Streams that the remote opened.
    #[serde(skip_serializing_if = "is_zero")]
    pub streams_inbound: u64,
    /// Streams that we opened.
    #[serde(skip_serializing_if = "is_zero")]
    pub streams_outbound: u64,
    /// Connections of both directions together.
    #[serde(skip_serializing_if = "is_zero")]
    pub conns: u64,
    /// Connections that the remote opened.
    #[serde(skip_serializing_if = "is_zero")]
    pub conns_inbound: u64,
    /// Connections that we opened.
    #[serde(skip_serializing_if = "is_zero")]
    pub conns_outbound: u64,
    /// File descriptors.
    #[serde(rename = "FD", skip_serializing_if = "is_zero")]
    pub fd: u64,
    /// Memory, in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory: u64,
}

pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The number that means unlimited in go-libp2p.
const UNLIMITED: u64 = LimitValue::LARGEST;

impl RecordedLimit {
    fn get_mut(&mut self, resource: Resource) -> &mut u64 {
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
}

impl From<Limit> for RecordedLimit {
    fn from(limit: Limit) -> Self {
        let mut recorded = Self::default();
        for resource in Resource::ALL {
            *recorded.get_mut(resource) = limit.get(resource).number().unwrap_or(UNLIMITED);
        }
        recorded
    }
}

impl From<RecordedLimit> for Limit {
    fn from(mut recorded: RecordedLimit) -> Self {
        let mut limit = Self::UNLIMITED;
        for resource in Resource::ALL {
            let recorded = *recorded.get_mut(resource);
            if recorded < UNLIMITED {
                *limit.get_mut(resource) = LimitValue::Limited(recorded);
            }
        }
        limit
    }
}
