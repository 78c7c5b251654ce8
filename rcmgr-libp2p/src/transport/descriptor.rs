//! Which connections use a file descriptor of their own.

use libp2p_core::Endpoint;
use libp2p_core::multiaddr::{Multiaddr, Protocol};
use libp2p_core::transport::{DialOpts, PortUse};
use rcmgr_core::UsesFd;

/// Whether a connection with this remote address has a socket of its own: TCP, also below WebSocket
/// or TLS, and Unix sockets. A relayed connection is a stream of the connection to the relay.
pub(crate) fn of_address(remote: &Multiaddr) -> UsesFd {
    let mut has_socket = false;
    for part in remote {
        match part {
            Protocol::P2pCircuit => return UsesFd::No,
            Protocol::Tcp(_) | Protocol::Unix(_) => has_socket = true,
            _ => {}
        }
    }
    if has_socket { UsesFd::Yes } else { UsesFd::No }
}

/// The same for a connection that is dialed. A QUIC connection has a UDP socket of its own if it is
/// dialed from a new port.
pub(super) fn of_dial(remote: &Multiaddr, options: DialOpts) -> UsesFd {
    let is_quic = || {
        let mut parts = remote.iter();
        parts.any(|part| matches!(part, Protocol::Quic | Protocol::QuicV1))
            && !parts.any(|part| part == Protocol::P2pCircuit)
    };
    let has_new_port = options.port_use == PortUse::New && options.role == Endpoint::Dialer;
    if has_new_port && is_quic() {
        return UsesFd::Yes;
    }
    of_address(remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, role: Endpoint, port_use: PortUse) -> UsesFd {
        of_dial(&text.parse().unwrap(), DialOpts { role, port_use })
    }

    #[test]
    fn a_connection_with_a_socket_of_its_own_uses_a_descriptor() {
        let peer = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
        for (text, expected) in [
            ("/ip4/192.0.2.7/tcp/4001", UsesFd::Yes),
            ("/ip4/192.0.2.7/tcp/443/tls/ws", UsesFd::Yes),
            ("/dns4/example.com/tcp/443/wss", UsesFd::Yes),
            ("/unix/socket", UsesFd::Yes),
            ("/ip4/192.0.2.7/udp/4001/quic-v1", UsesFd::No),
            ("/memory/7", UsesFd::No),
        ] {
            let relayed = format!("{text}/p2p/{peer}/p2p-circuit");
            for port_use in [PortUse::Reuse, PortUse::New] {
                assert_eq!(of(&relayed, Endpoint::Dialer, port_use), UsesFd::No);
            }
            assert_eq!(of(text, Endpoint::Dialer, PortUse::Reuse), expected);
            assert_eq!(of_address(&text.parse().unwrap()), expected);
        }
        // The remote of a relayed inbound connection.
        assert_eq!(
            of_address(&format!("/p2p/{peer}").parse().unwrap()),
            UsesFd::No
        );
    }

    #[test]
    fn quic_dialed_from_a_new_port_uses_a_descriptor() {
        let quic = "/ip4/192.0.2.7/udp/4001/quic-v1";
        assert_eq!(of(quic, Endpoint::Dialer, PortUse::New), UsesFd::Yes);
        assert_eq!(of(quic, Endpoint::Listener, PortUse::New), UsesFd::No);
        assert_eq!(of(quic, Endpoint::Dialer, PortUse::Reuse), UsesFd::No);
    }
}
