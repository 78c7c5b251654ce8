use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// How often requests were refused, by resource and by the direction asked for.
///
/// A connection refused for want of a file descriptor counts under [`fd`](Self::fd) alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Refusals {
    /// Memory reservations refused.
    pub memory: u64,
    /// Streams refused that the remote opened.
    pub streams_inbound: u64,
    /// Streams refused that we opened.
    pub streams_outbound: u64,
    /// Connections refused that the remote opened.
    pub conns_inbound: u64,
    /// Connections refused that we opened.
    pub conns_outbound: u64,
    /// Connections refused because no file descriptor was left under the limit.
    pub fd: u64,
}

impl Refusals {
    /// All refusals together.
    pub const fn total(&self) -> u64 {
        self.memory
            + self.streams_inbound
            + self.streams_outbound
            + self.conns_inbound
            + self.conns_outbound
            + self.fd
    }
}

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
