use std::fmt;
use std::net::{IpAddr, SocketAddr};

use multiaddr::{Multiaddr, Protocol};

/// The remote end of a connection, as far as it is known.
///
/// ```
/// use std::net::IpAddr;
/// use rcmgr_core::Endpoint;
///
/// let quic: Endpoint = "/ip4/192.0.2.7/udp/4001/quic-v1".parse::<rcmgr_core::multiaddr::Multiaddr>()?.into();
/// assert_eq!(quic.ip(), Some(IpAddr::from([192, 0, 2, 7])));
/// assert_eq!(Endpoint::None.ip(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Nothing is known, or there is no address (a pipe, a unix socket).
    #[default]
    None,
    /// An IP address.
    Ip(IpAddr),
    /// A socket address.
    Socket(SocketAddr),
    /// A multiaddr.
    Multiaddr(Multiaddr),
}

impl Endpoint {
    /// The IP address, if the endpoint has one: of a multiaddr, that of its first component (a
    /// DNS name has none; nor has a relayed address, whose IP is the relay's).
    ///
    /// It is given as it stands: an IPv4 address that a dual-stack socket shows as IPv6
    /// (`::ffff:192.0.2.7`) stays one of IPv6 here. Whatever limits by address
    /// ([`address`](crate::address)) takes it for the IPv4 address that it is.
    ///
    /// ```
    /// use rcmgr_core::{Endpoint, multiaddr::Multiaddr};
    ///
    /// let named: Multiaddr = "/dns4/example.com/tcp/443".parse()?;
    /// assert_eq!(Endpoint::from(named).ip(), None);
    ///
    /// let zoned: Multiaddr = "/ip6zone/eth0/ip6/fe80::1/tcp/4001".parse()?;
    /// assert_eq!(Endpoint::from(zoned).ip(), Some("fe80::1".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::None => None,
            Self::Ip(ip) => Some(*ip),
            Self::Socket(socket) => Some(socket.ip()),
            Self::Multiaddr(address) => multiaddr_ip(address),
        }
    }
}

fn multiaddr_ip(address: &Multiaddr) -> Option<IpAddr> {
    if address.iter().any(|part| part == Protocol::P2pCircuit) {
        return None;
    }
    // A link-local IPv6 address may follow its zone.
    let first = address
        .iter()
        .find(|part| !matches!(part, Protocol::Ip6zone(_)))?;
    match first {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("unknown endpoint"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Socket(socket) => socket.fmt(f),
            Self::Multiaddr(address) => address.fmt(f),
        }
    }
}

impl From<IpAddr> for Endpoint {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(socket: SocketAddr) -> Self {
        Self::Socket(socket)
    }
}

impl From<Multiaddr> for Endpoint {
    fn from(address: Multiaddr) -> Self {
        Self::Multiaddr(address)
    }
}
