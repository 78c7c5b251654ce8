//! Writes headers for the backend.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::v2;
use crate::settings::ProxyVersion;

/// The header that names `client` as the client of a connection to `server`.
///
/// An IPv4-mapped address is written as IPv4. Where one of the two is IPv4 and the other IPv6, the
/// IPv4 one is written as IPv4-mapped IPv6, because a header has one family.
pub fn header(version: ProxyVersion, client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let ends = Ends::of(client.ip().to_canonical(), server.ip().to_canonical());
    let ports = [client.port(), server.port()];
    match version {
        ProxyVersion::V1 => text(ends, ports),
        ProxyVersion::V2 => binary(ends, ports),
    }
}

/// The addresses of the client and of the server, in one family.
enum Ends {
    Ipv4([Ipv4Addr; 2]),
    Ipv6([Ipv6Addr; 2]),
}

impl Ends {
    fn of(client: IpAddr, server: IpAddr) -> Self {
        let ipv6 = |address| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        match (client, server) {
            (IpAddr::V4(client), IpAddr::V4(server)) => Self::Ipv4([client, server]),
            (client, server) => Self::Ipv6([ipv6(client), ipv6(server)]),
        }
    }
}

fn text(ends: Ends, [from, to]: [u16; 2]) -> Vec<u8> {
    let line = match ends {
        Ends::Ipv4([client, server]) => format!("PROXY TCP4 {client} {server} {from} {to}\r\n"),
        Ends::Ipv6([client, server]) => format!("PROXY TCP6 {client} {server} {from} {to}\r\n"),
    };
    line.into_bytes()
}

fn binary(ends: Ends, ports: [u16; 2]) -> Vec<u8> {
    let mut block = Vec::with_capacity(36);
    let family = match ends {
        Ends::Ipv4(both) => {
            block.extend(both.iter().flat_map(Ipv4Addr::octets));
            v2::IPV4_STREAM
        }
        Ends::Ipv6(both) => {
            block.extend(both.iter().flat_map(Ipv6Addr::octets));
            v2::IPV6_STREAM
        }
    };
    block.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    let length = block.len() as u16;
    let mut header = Vec::with_capacity(v2::FIXED + block.len());
    header.extend(v2::SIGNATURE);
    header.extend([v2::PROXY, family]);
    header.extend(length.to_be_bytes());
    header.extend(block);
    header
}
