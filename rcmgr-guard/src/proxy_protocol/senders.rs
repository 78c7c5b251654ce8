//! The proxies in front: the networks that must send a header.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// The networks of the proxies in front. A connection from these must begin with a header. All others
/// are refused, and a header of theirs is never looked for, so none can name a false client.
///
/// IPv4-mapped IPv6 addresses and networks count as IPv4.
///
/// ```
/// use rcmgr_guard::proxy_protocol::Senders;
///
/// let senders = Senders::new(&["10.0.0.0/8".parse()?]);
/// assert!(senders.requires_header("10.1.2.3".parse().unwrap()));
/// assert!(senders.requires_header("::ffff:10.1.2.3".parse().unwrap()));
/// assert!(senders.refuses("192.0.2.7".parse().unwrap()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Senders(Box<[IpNet]>);

impl Senders {
    /// Senders in these networks. Without any, no connection has a header, and none is refused.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.iter().map(canonical).collect())
    }

    /// Whether a connection from this address must begin with a header.
    pub fn requires_header(&self, sender: IpAddr) -> bool {
        let sender = sender.to_canonical();
        self.0.iter().any(|network| network.contains(&sender))
    }

    /// Whether a connection from this address is refused: there are proxies in front, and it comes
    /// from none of them.
    pub fn refuses(&self, sender: IpAddr) -> bool {
        !self.0.is_empty() && !self.requires_header(sender)
    }
}

/// The bits before the IPv4 address in an IPv4-mapped address.
const MAPPED_PREFIX: u8 = 96;

/// The IPv4 network of an IPv4-mapped one.
fn canonical(network: &IpNet) -> IpNet {
    let as_ipv4 = || {
        let prefix = network.prefix_len().checked_sub(MAPPED_PREFIX)?;
        match network.addr().to_canonical() {
            IpAddr::V4(address) => Ipv4Net::new(address, prefix).ok(),
            IpAddr::V6(_) => None,
        }
    };
    match network {
        IpNet::V4(_) => *network,
        IpNet::V6(_) => as_ipv4().map_or(*network, IpNet::V4),
    }
}
