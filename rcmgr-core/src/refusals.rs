//! Numbers of refusals by resource.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use crate::Resource;

/// How many requests were refused, by the resource that was missing and by the requested direction.
///
/// A connection that is refused for lack of a file descriptor counts only under [`fd`](Self::fd), so
/// that the first six counts together are the number of refused requests. The last two are details
/// of these: they tell how many connections of each direction, and with a file descriptor, were
/// refused in all. Two values are equal if the first six counts are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusals {
    /// Refused memory reservations.
    pub memory: u64,
    /// Refused streams that the remote opened.
    pub streams_inbound: u64,
    /// Refused streams that we opened.
    pub streams_outbound: u64,
    /// Refused connections that the remote opened.
    pub conns_inbound: u64,
    /// Refused connections that we opened.
    pub conns_outbound: u64,
    /// Connections refused because the limit on file descriptors was reached.
    pub fd: u64,
    /// Of [`fd`](Self::fd): the connections that we opened.
    pub fd_outbound: u64,
    /// Of [`conns_inbound`](Self::conns_inbound) and [`conns_outbound`](Self::conns_outbound): the
    /// connections that would have used a file descriptor.
    pub conns_with_fd: u64,
}

impl Refusals {
    /// The refusals of one resource; for a total, of both directions together.
    ///
    /// ```
    /// use rcmgr_core::{Refusals, Resource};
    ///
    /// let refusals = Refusals { conns_inbound: 3, conns_outbound: 1, ..Refusals::default() };
    /// assert_eq!(refusals.get(Resource::Conns), 4);
    /// assert_eq!(refusals.total(), 4);
    /// ```
    pub const fn get(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.memory,
            Resource::Fd => self.fd,
            Resource::Streams => self.streams_inbound + self.streams_outbound,
            Resource::StreamsInbound => self.streams_inbound,
            Resource::StreamsOutbound => self.streams_outbound,
            Resource::Conns => self.conns_inbound + self.conns_outbound,
            Resource::ConnsInbound => self.conns_inbound,
            Resource::ConnsOutbound => self.conns_outbound,
        }
    }

    /// The six counts with their resources, in the order of [`Resource::COUNTED`].
    pub fn iter(&self) -> impl Iterator<Item = (Resource, u64)> + use<> {
        let refusals = *self;
        Resource::COUNTED
            .into_iter()
            .map(move |resource| (resource, refusals.get(resource)))
    }

    /// All refusals together.
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }
}

impl PartialEq for Refusals {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Refusals {}

impl Add for Refusals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            memory: self.memory + other.memory,
            streams_inbound: self.streams_inbound + other.streams_inbound,
            streams_outbound: self.streams_outbound + other.streams_outbound,
            conns_inbound: self.conns_inbound + other.conns_inbound,
            conns_outbound: self.conns_outbound + other.conns_outbound,
            fd: self.fd + other.fd,
            fd_outbound: self.fd_outbound + other.fd_outbound,
            conns_with_fd: self.conns_with_fd + other.conns_with_fd,
        }
    }
}

impl AddAssign for Refusals {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Refusals {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}
