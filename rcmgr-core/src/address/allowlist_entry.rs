//! One entry of the allowlist and its text form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::check::bad;
use super::network::canonical_network;
use crate::{BadConfiguration, PeerId};
use ipnet::IpNet;

/// An entry of the allowlist: a network, or one peer in it.
///
/// Its text is a multiaddr: an IP address, then optionally `/ipcidr/N` for all addresses that share
/// its first N bits, then optionally `/p2p/PEER` to allow only that libp2p peer. Transports in
/// between (`/tcp/4001`, `/udp/4001/quic-v1`) are ignored, as in go-libp2p, so that a peer's
/// address can be pasted unchanged. Everything else is an error: an entry without an IP address, a
/// prefix longer than the address, a DNS name, a relay, or an IPv6 zone, because an open connection
/// does not tell its zone. The value of `/certhash` is not checked.
///
/// ```
/// use rcmgr_core::address::AllowlistEntry;
///
/// let office: AllowlistEntry = "/ip4/192.0.2.0/ipcidr/24".parse()?;
/// assert_eq!(office, AllowlistEntry { network: "192.0.2.0/24".parse().unwrap(), peer: None });
///
/// let pasted: AllowlistEntry =
///     "/ip4/9.8.7.6/tcp/4001/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// let shortest = "/ip4/9.8.7.6/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";
/// assert_eq!(pasted.to_string(), shortest);
///
/// let bad = "/ip4/192.0.2.0/ipcidr/33".parse::<AllowlistEntry>().unwrap_err();
/// assert_eq!(
///     bad.to_string(),
///     "allowlist: /ip4/192.0.2.0/ipcidr/33 has a prefix of 33 bits, at most 32 are possible",
/// );
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AllowlistEntry {
    /// The network. Bits after its prefix are ignored.
    pub network: IpNet,
    /// The peer that the entry admits; `None` for all peers.
    pub peer: Option<PeerId>,
}

/// Names of transports without a value.
const BARE: [&str; 12] = [
    "http",
    "https",
    "noise",
    "quic",
    "quic-v1",
    "tls",
    "udt",
    "utp",
    "webrtc-direct",
    "webtransport",
    "ws",
    "wss",
];

/// Names of transports with a port.
const WITH_PORT: [&str; 4] = ["dccp", "sctp", "tcp", "udp"];

/// Names of transports with a text value.
const WITH_TEXT: [&str; 2] = ["certhash", "sni"];

/// Names of transports with a percent-encoded text value.
const WITH_ENCODED_TEXT: [&str; 2] = ["x-parity-ws", "x-parity-wss"];

/// The parts of a multiaddr: names, most of them followed by a value.
struct Parts<'a>(std::iter::Peekable<std::str::Split<'a, char>>);

impl<'a> Parts<'a> {
    /// The parts after the leading slash.
    fn of(text: &'a str) -> Option<Self> {
        let parts = text.strip_prefix('/')?;
        Some(Self(parts.split('/').peekable()))
    }

    fn name(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn name_if(&mut self, expected: &str) -> bool {
        self.0.next_if(|name| *name == expected).is_some()
    }

    /// Reads the value that follows this name.
    fn value<T>(&mut self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let value = self.0.next();
        let value = value.ok_or_else(|| format!("has no value after /{name}"))?;
        read(value).ok_or_else(|| format!("has a bad value in /{name}/{value}"))
    }

    fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        self.value(name, |value| value.parse().ok())
    }
}

impl FromStr for AllowlistEntry {
    type Err = BadConfiguration;

    fn from_str(text: &str) -> Result<Self, BadConfiguration> {
        read(text).map_err(|reason| bad("allowlist", format!("{text} {reason}")))
    }
}

fn read(text: &str) -> Result<AllowlistEntry, String> {
    let no_address = || "does not start with /ip4 or /ip6 and an address".to_owned();
    let mut parts = Parts::of(text).ok_or_else(no_address)?;
    let ip: IpAddr = match parts.name() {
        Some("ip4") => parts.parsed::<Ipv4Addr>("ip4")?.into(),
        Some("ip6") => parts.parsed::<Ipv6Addr>("ip6")?.into(),
        _ => return Err(no_address()),
    };
    // Without `/ipcidr` the entry is for one address.
    let mut network = IpNet::from(ip);
    if parts.name_if("ipcidr") {
        let len: u8 = parts.parsed("ipcidr")?;
        let longest = network.max_prefix_len();
        network = IpNet::new(ip, len)
            .map_err(|_| format!("has a prefix of {len} bits, at most {longest} are possible"))?;
    }
    // Transports are checked and skipped; the peer must be last.
    let mut peer = None;
    while let Some(name) = parts.name() {
        if peer.is_some() {
            return Err(format!("has /{name} after its peer"));
        }
        if matches!(name, "p2p" | "ipfs") {
            peer = Some(parts.value(name, libp2p_peer)?);
        } else if WITH_PORT.contains(&name) {
            parts.parsed::<u16>(name)?;
        } else if WITH_TEXT.contains(&name) {
            parts.value(name, |_| Some(()))?;
        } else if WITH_ENCODED_TEXT.contains(&name) {
            parts.value(name, |value| is_percent_encoded(value).then_some(()))?;
        } else if !BARE.contains(&name) {
            return Err(format!(
                "has /{name}, which is neither a transport nor a peer"
            ));
        }
    }
    Ok(AllowlistEntry {
        network: canonical_network(network),
        peer,
    })
}

/// The libp2p peer whose base58 id is `text`.
fn libp2p_peer(text: &str) -> Option<PeerId> {
    let peer: PeerId = text.parse().ok()?;
    // `PeerId` parses other forms too, such as hexadecimal. Only the base58 form is allowed here.
    (peer.is_libp2p() && peer.to_string() == text).then_some(peer)
}

/// Whether the percent-decoded bytes are UTF-8. A percent sign without two hexadecimal digits after
/// it stands for itself.
fn is_percent_encoded(text: &str) -> bool {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.first_chunk().filter(|_| byte == b'%');
        let digits = digits.filter(|digits: &&[u8; 2]| digits.iter().all(u8::is_ascii_hexdigit));
        let value = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(value.unwrap_or(byte));
        rest = if value.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    std::str::from_utf8(&decoded).is_ok()
}

impl fmt::Display for AllowlistEntry {
    /// The shortest text: without transports, and without `/ipcidr` for a single address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = canonical_network(self.network);
        match network.addr() {
            IpAddr::V4(ip) => write!(f, "/ip4/{ip}")?,
            IpAddr::V6(ip) => write!(f, "/ip6/{ip}")?,
        }
        if network.prefix_len() < network.max_prefix_len() {
            write!(f, "/ipcidr/{}", network.prefix_len())?;
        }
        match self.peer {
            Some(peer) => write!(f, "/p2p/{peer}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "12D3KooWCQdw4xEHy37dA1j7ypc3B8xk4v3BydgtBHidWzokDPmD";
    const BOB: &str = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";

    #[test]
    fn an_error_names_the_bad_entry() {
        let bad = [
            String::new(),
            "/".to_owned(),
            "/ip4".to_owned(),
            "/ip4/192.0.2.7/".to_owned(),
            "192.0.2.7".to_owned(),
            "/ip4/192.0.2.7/tcp".to_owned(),
            "/ip4/192.0.2.7/tcp/65536".to_owned(),
            "/ip4/192.0.2.7/p2p/tenant-7".to_owned(),
            "/ip4/192.0.2.7/p2p/0x0000".to_owned(),
            "/dns4/example.com/tcp/443".to_owned(),
            format!("/p2p/{BOB}"),
            "/ip4/192.0.2.7/ipcidr/33".to_owned(),
            "/ip6/2001:db8::/ipcidr/129".to_owned(),
            "/ip4/192.0.2.7/tcp/1/ipcidr/24".to_owned(),
            "/ip4/192.0.2.7/ip4/192.0.2.8".to_owned(),
            "/ip6zone/eth0/ip6/fe80::1".to_owned(),
            format!("/ip4/192.0.2.7/p2p/{BOB}/p2p-circuit"),
            format!("/ip4/192.0.2.7/p2p/{BOB}/p2p/{ALICE}"),
        ];
        for entry in bad {
            let error = entry.parse::<AllowlistEntry>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("allowlist: {entry} ")),
                "{error}"
            );
        }
    }
}
