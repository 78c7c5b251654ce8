//! What the parser found.

use std::net::{IpAddr, SocketAddr};

/// What the bytes received so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The start of a header. More bytes decide.
    More,
    /// A whole header.
    Header {
        /// The client. An IPv4-mapped IPv6 address is given as IPv4. `None`: the header names no
        /// client (`LOCAL`, `UNKNOWN`, a Unix socket), and the address of the sender counts.
        client: Option<SocketAddr>,
        /// The bytes of the header. The bytes of the client follow.
        length: usize,
    },
}

/// An IPv4-mapped address counts as IPv4: else all IPv4 clients would share one IPv6 network.
pub(super) fn canonical(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}
