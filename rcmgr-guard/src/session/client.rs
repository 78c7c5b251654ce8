//! A client: the address that its limits apply to, and its peer.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use rcmgr_atomic::Manager;
use rcmgr_core::{Endpoint, PeerId};

/// The client of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// Its address, which limits apply to.
    At {
        address: SocketAddr,
        /// The IP address that it counts as. It is kept, because a session stays charged to its
        /// peer when other prefixes of NAT64 are configured.
        counts_as: IpAddr,
    },
    /// The sender of a header that names no client, such as for a health check. The limits of a
    /// client do not apply: a proxy in front would be one client.
    Sender(SocketAddr),
}

impl Client {
    /// A client whose address counts. IPv4 within IPv6 counts as IPv4, as in the limits by address.
    pub(super) fn at(address: SocketAddr, manager: &Manager) -> Self {
        Self::At {
            address: canonical(address),
            counts_as: manager.addresses().canonical_ip(address.ip()),
        }
    }

    /// Its address, for the header to the backend.
    pub(super) const fn address(self) -> SocketAddr {
        match self {
            Self::At { address, .. } | Self::Sender(address) => address,
        }
    }

    /// The endpoint that the limits by address apply to.
    pub(crate) const fn endpoint(self) -> Endpoint {
        match self {
            Self::At { address, .. } => Endpoint::Socket(address),
            Self::Sender(_) => Endpoint::None,
        }
    }

    /// The peer whose limits apply.
    pub(crate) fn peer(self) -> Option<PeerId> {
        match self {
            Self::At { address, counts_as } => Some(peer(address, counts_as)),
            Self::Sender(_) => None,
        }
    }

    /// Whether the allowlist of the manager lets it in when the others are refused.
    pub(crate) fn is_allowlisted(self, manager: &Manager) -> bool {
        match self {
            Self::At { address, counts_as } => {
                let allowlist = manager.addresses().allowlist();
                allowlist.allows(&peer(address, counts_as), address)
            }
            Self::Sender(_) => false,
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        // With its zone.
        IpAddr::V6(_) => address,
    }
}

/// The peer of an address: the IPv4 address, or the IPv6 network of 64 bits. A client can use any
/// address of such a network. A link-local address is a peer with its zone.
fn peer(address: SocketAddr, counts_as: IpAddr) -> PeerId {
    match counts_as {
        IpAddr::V6(v6) if !v6.is_unicast_link_local() => {
            let [a, b, c, d, ..] = v6.segments();
            let network = Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0);
            let text = format!("{network}/64");
            // It is never longer than an id may be.
            PeerId::from_bytes(text.as_bytes()).unwrap_or_else(|_| PeerId::from(network))
        }
        IpAddr::V4(v4) => PeerId::from(v4),
        IpAddr::V6(_) => PeerId::from(address),
    }
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::Limits;
    use rcmgr_core::AddressConfig;

    use super::*;

    fn peer_of(address: &str) -> String {
        peer_with(&[], address)
    }

    /// The peer, with these prefixes of NAT64.
    fn peer_with(nat64: &[&str], address: &str) -> String {
        let manager = Manager::builder().limits(Limits::unlimited());
        let manager = manager.addresses(AddressConfig {
            nat64: nat64.iter().map(|net| net.parse().unwrap()).collect(),
            ..AddressConfig::none()
        });
        let client = Client::at(address.parse().unwrap(), &manager.build().unwrap());
        client.peer().unwrap().to_string()
    }

    #[test]
    fn a_peer_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        assert_eq!(peer_of("192.0.2.7:1"), "192.0.2.7");
        assert_eq!(peer_of("[::ffff:192.0.2.7]:1"), "192.0.2.7");
        assert_eq!(peer_of("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::/64");
        let longest = "[2001:1db8:1111:2222:3333:4444:5555:6666]:1";
        assert_eq!(peer_of(longest), "2001:1db8:1111:2222::/64");
        assert_eq!(peer_of("[::1]:1"), "::/64");
        assert_ne!(peer_of("[fe80::7%1]:1"), peer_of("[fe80::7%2]:1"));
    }

    #[test]
    fn an_ipv4_address_is_one_peer_in_each_spelling() {
        for spelling in [
            "64:ff9b::192.0.2.7",
            "2002:c000:207::1",
            "2002:c000:207:8::9",
            "::192.0.2.7",
        ] {
            assert_eq!(peer_of(&format!("[{spelling}]:1")), "192.0.2.7");
        }
        let behind_a_gateway = "[2001:db8:64::192.0.2.7]:1";
        assert_eq!(peer_of(behind_a_gateway), "2001:db8:64::/64");
        let nat64 = ["2001:db8:64::/96"];
        assert_eq!(peer_with(&nat64, behind_a_gateway), "192.0.2.7");
        // The backend is told the address at which the client is.
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let carrier = "[64:ff9b::192.0.2.7]:1".parse().unwrap();
        assert_eq!(Client::at(carrier, &manager).address(), carrier);
    }

    #[test]
    fn the_sender_of_a_header_without_a_client_has_no_limit_of_a_client() {
        let sender = Client::Sender("10.0.0.1:1".parse().unwrap());
        assert_eq!(sender.endpoint(), Endpoint::None);
        assert_eq!(sender.peer(), None);
    }
}
