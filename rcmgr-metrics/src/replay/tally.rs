//! Refusals and peaks of a scope, or of all scopes of a class.

use rcmgr_core::{Resource, ScopeStat};
use serde::Serialize;

use crate::trace::Event;

/// The sum of refused requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The number of requests.
    pub requests: u64,
    /// The requests of memory.
    pub memory_requests: u64,
    /// The requested memory, in bytes.
    pub memory: u64,
    /// The requested inbound streams.
    pub streams_in: u64,
    /// The requested outbound streams.
    pub streams_out: u64,
    /// The requested inbound connections.
    pub conns_in: u64,
    /// The requested outbound connections.
    pub conns_out: u64,
    /// The file descriptors of the requested connections, whichever limit refused them.
    pub fd: u64,
}

impl Refused {
    /// Adds a refusal.
    pub fn add(&mut self, event: &Event) {
        let amount = event.amount();
        self.requests += 1;
        self.memory_requests += u64::from(event.kind.is_of_memory());
        self.memory = self.memory.saturating_add(amount.memory);
        self.streams_in = self.streams_in.saturating_add(amount.streams_inbound);
        self.streams_out = self.streams_out.saturating_add(amount.streams_outbound);
        self.conns_in = self.conns_in.saturating_add(amount.conns_inbound);
        self.conns_out = self.conns_out.saturating_add(amount.conns_outbound);
        self.fd = self.fd.saturating_add(amount.fd);
    }
}

/// The peak of each of the eight limited resources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Peak {
    /// Bytes of memory.
    pub memory: u64,
    /// File descriptors.
    pub fd: u64,
    /// Streams of both directions together.
    pub streams: u64,
    /// Inbound streams.
    pub streams_in: u64,
    /// Outbound streams.
    pub streams_out: u64,
    /// Connections of both directions together.
    pub conns: u64,
    /// Inbound connections.
    pub conns_in: u64,
    /// Outbound connections.
    pub conns_out: u64,
}

impl Peak {
    /// The current usage as a peak.
    pub const fn of(usage: &ScopeStat) -> Self {
        Self {
            memory: usage.memory,
            fd: usage.fd,
            streams: usage.streams(),
            streams_in: usage.streams_inbound,
            streams_out: usage.streams_outbound,
            conns: usage.conns(),
            conns_in: usage.conns_inbound,
            conns_out: usage.conns_outbound,
        }
    }

    /// Raises each resource to the higher value of both.
    pub fn raise(&mut self, other: &Self) {
        for resource in Resource::ALL {
            let most = self.get_mut(resource);
            *most = (*most).max(other.get(resource));
        }
    }

    /// The sum of both, for each resource.
    pub(super) fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        for resource in Resource::ALL {
            let value = sum.get_mut(resource);
            *value = value.saturating_add(other.get(resource));
        }
        sum
    }

    /// The peak of one resource.
    pub const fn get(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.memory,
            Resource::Fd => self.fd,
            Resource::Streams => self.streams,
            Resource::StreamsInbound => self.streams_in,
            Resource::StreamsOutbound => self.streams_out,
            Resource::Conns => self.conns,
            Resource::ConnsInbound => self.conns_in,
            Resource::ConnsOutbound => self.conns_out,
        }
    }

    fn get_mut(&mut self, resource: Resource) -> &mut u64 {
        match resource {
            Resource::Memory => &mut self.memory,
            Resource::Fd => &mut self.fd,
            Resource::Streams => &mut self.streams,
            Resource::StreamsInbound => &mut self.streams_in,
            Resource::StreamsOutbound => &mut self.streams_out,
            Resource::Conns => &mut self.conns,
            Resource::ConnsInbound => &mut self.conns_in,
            Resource::ConnsOutbound => &mut self.conns_out,
        }
    }
}
