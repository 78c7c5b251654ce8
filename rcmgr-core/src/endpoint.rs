//! The remote end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::PeerId;

/// The remote end of a connection, as far as it is known.
///
/// ```
/// use std::net::{IpAddr, SocketAddr};
/// use rcmgr_core::Endpoint;
///
/// let socket: SocketAddr = "192.0.2.7:4001".parse()?;
/// assert_eq!(Endpoint::from(socket).ip(), Some(IpAddr::from([192, 0, 2, 7])));
///
/// let written: Endpoint = "[2001:db8::7]:4001".parse()?;
/// assert_eq!(written.to_string(), "[2001:db8::7]:4001");
/// assert_eq!(Endpoint::None.ip(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Unknown, or not an IP endpoint (a pipe, a Unix socket).
    #[default]
    None,
    /// An IP address.
    Ip(IpAddr),
    /// A socket address.
    Socket(SocketAddr),
}

/// The text is not an [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an IP address or a socket address, such as 192.0.2.7 or [2001:db8::7]:4001")]
pub struct EndpointError;

impl Endpoint {
    /// The IP address, if the endpoint has one.
    ///
    /// The address is as the socket reports it. A dual-stack socket reports an IPv4 address as IPv6
    /// (`::ffff:192.0.2.7`); limits by address count it as the IPv4 address, see
    /// [`canonical_ip`](crate::canonical_ip).
    #[inline]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::None => None,
            Self::Ip(ip) => Some(*ip),
            Self::Socket(SocketAddr::V4(socket)) => Some(IpAddr::V4(*socket.ip())),
            Self::Socket(SocketAddr::V6(socket)) => Some(IpAddr::V6(*socket.ip())),
        }
    }

    /// The zone of a link-local IPv6 address: the number of the network interface, as the socket
    /// address has it. `None` for other addresses, which mean the same on each interface.
    ///
    /// ```
    /// use rcmgr_core::Endpoint;
    ///
    /// let zone = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.zone());
    /// assert_eq!(zone("[fe80::7%2]:4001")?.map(u32::from), Some(2));
    /// assert_eq!(zone("[fe80::7]:4001")?, None);
    /// assert_eq!(zone("[2001:db8::7%2]:4001")?, None);
    /// # Ok::<(), rcmgr_core::EndpointError>(())
    /// ```
    #[inline]
    pub const fn zone(&self) -> Option<NonZeroU32> {
        match self {
            Self::Socket(SocketAddr::V6(socket)) if socket.ip().is_unicast_link_local() => {
                NonZeroU32::new(socket.scope_id())
            }
            _ => None,
        }
    }

    /// The peer that is named by this address: [`PeerId::from`] of the IP address, with the zone if
    /// there is one. `None` without an IP address.
    ///
    /// ```
    /// use rcmgr_core::Endpoint;
    ///
    /// let endpoint: Endpoint = "[::ffff:192.0.2.7]:4001".parse()?;
    /// assert_eq!(endpoint.peer().unwrap().to_string(), "192.0.2.7");
    /// assert_eq!(Endpoint::None.peer(), None);
    /// # Ok::<(), rcmgr_core::EndpointError>(())
    /// ```
    pub fn peer(&self) -> Option<PeerId> {
        match self {
            Self::None => None,
            Self::Ip(ip) => Some(PeerId::from(*ip)),
            Self::Socket(socket) => Some(PeerId::from(*socket)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("unknown endpoint"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Socket(socket) => socket.fmt(f),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let ip = text.parse().map(Self::Ip);
        ip.or_else(|_| text.parse().map(Self::Socket))
            .map_err(|_| EndpointError)
    }
}

impl From<&Self> for Endpoint {
    fn from(endpoint: &Self) -> Self {
        *endpoint
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(socket: SocketAddr) -> Self {
        Self::Socket(socket)
    }
}

impl From<&SocketAddr> for Endpoint {
    fn from(socket: &SocketAddr) -> Self {
        Self::Socket(*socket)
    }
}

impl From<SocketAddrV4> for Endpoint {
    fn from(socket: SocketAddrV4) -> Self {
        Self::Socket(socket.into())
    }
}

impl From<SocketAddrV6> for Endpoint {
    fn from(socket: SocketAddrV6) -> Self {
        Self::Socket(socket.into())
    }
}

impl From<IpAddr> for Endpoint {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<Ipv4Addr> for Endpoint {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(ip.into())
    }
}

impl From<Ipv6Addr> for Endpoint {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ip(ip.into())
    }
}

#[cfg(feature = "multiaddr")]
mod multi {
    use multiaddr::{Multiaddr, Protocol};

    use super::*;

    impl From<&Multiaddr> for Endpoint {
        /// The IP address at the start of a multiaddr, and its port if `/tcp` or `/udp` follows.
        ///
        /// A DNS name gives [`Endpoint::None`]. A relayed address does too, because its IP address
        /// is the relay's. The zone of an IPv6 address is kept if it is a number and a port follows;
        /// the name of an interface is ignored.
        ///
        /// ```
        /// use rcmgr_core::{Endpoint, multiaddr::Multiaddr};
        ///
        /// let quic: Multiaddr = "/ip4/192.0.2.7/udp/4001/quic-v1".parse()?;
        /// assert_eq!(Endpoint::from(quic), "192.0.2.7:4001".parse()?);
        ///
        /// let zoned: Multiaddr = "/ip6zone/eth0/ip6/fe80::1".parse()?;
        /// assert_eq!(Endpoint::from(zoned), "fe80::1".parse()?);
        ///
        /// let zoned: Multiaddr = "/ip6zone/2/ip6/fe80::1/tcp/4001".parse()?;
        /// assert_eq!(Endpoint::from(zoned), "[fe80::1%2]:4001".parse()?);
        ///
        /// let named: Multiaddr = "/dns4/example.com/tcp/443".parse()?;
        /// assert_eq!(Endpoint::from(named), Endpoint::None);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        fn from(address: &Multiaddr) -> Self {
            if address.iter().any(|part| part == Protocol::P2pCircuit) {
                return Self::None;
            }
            // A zone may stand before an IPv6 address.
            let mut parts = address.iter().peekable();
            let mut zone = None;
            while let Some(Protocol::Ip6zone(name)) =
                parts.next_if(|part| matches!(part, Protocol::Ip6zone(_)))
            {
                zone = name.parse().ok();
            }
            let ip: IpAddr = match parts.next() {
                Some(Protocol::Ip4(ip)) => ip.into(),
                Some(Protocol::Ip6(ip)) => ip.into(),
                _ => return Self::None,
            };
            match parts.next() {
                Some(Protocol::Tcp(port) | Protocol::Udp(port)) => match ip {
                    IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
                    IpAddr::V6(ip) => {
                        SocketAddrV6::new(ip, port, 0, zone.unwrap_or_default()).into()
                    }
                },
                _ => Self::Ip(ip),
            }
        }
    }

    impl From<Multiaddr> for Endpoint {
        /// Same as the conversion from a reference.
        fn from(address: Multiaddr) -> Self {
            Self::from(&address)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_survives_the_round_trip_through_text() {
        for text in [
            "192.0.2.7",
            "192.0.2.7:4001",
            "2001:db8::7",
            "[2001:db8::7]:4001",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
        for text in ["", "example.com", "192.0.2.7:", "192.0.2.7:65536", "[::1]"] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError), "{text:?}");
        }
    }

    #[cfg(feature = "multiaddr")]
    #[test]
    fn a_multiaddr_gives_the_address_of_the_remote_or_none() {
        let relay = "/ip4/192.0.2.1/tcp/1/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y/p2p-circuit/ip4/192.0.2.7";
        let cases = [
            ("", Endpoint::None),
            (
                "/ip4/192.0.2.7/tls/tcp/1",
                Ipv4Addr::new(192, 0, 2, 7).into(),
            ),
            ("/dns/a/ip4/192.0.2.7", Endpoint::None),
            (relay, Endpoint::None),
        ];
        for (text, endpoint) in cases {
            let address: multiaddr::Multiaddr = text.parse().unwrap();
            assert_eq!(Endpoint::from(&address), endpoint, "{text}");
        }
    }
}
