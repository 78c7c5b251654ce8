//! One entry of the allowlist and its text form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::check::bad;
use super::network::canonical_network;
use crate::{BadConfiguration, PeerId, PeerIdError, shown};
use ipnet::IpNet;

/// An entry of the allowlist: a network, one peer in a network, or one peer wherever it is.
///
/// | text | admits |
/// | --- | --- |
/// | `192.0.2.0/24`, `2001:db8::7` | all peers in this network, or at this address |
/// | `/ip4/192.0.2.0/ipcidr/24`, `/ip6/2001:db8::7` | the same, as a multiaddr |
/// | `/ip4/192.0.2.7/p2p/PEER` | this libp2p peer at this address |
/// | `/p2p/PEER` or `PEER` | this libp2p peer at any address, or at none |
///
/// In a multiaddr, transports after the address (`/tcp/4001`, `/udp/4001/quic-v1`) are ignored, as
/// in go-libp2p, so that a peer's address can be pasted unchanged. The value of `/certhash` is not
/// checked. Everything else is an error, for example a prefix longer than the address, a DNS name,
/// a relay, or an IPv6 zone: an entry for a link-local address admits it in every zone.
///
/// ```
/// use rcmgr_core::address::AllowlistEntry;
///
/// let office: AllowlistEntry = "192.0.2.0/24".parse()?;
/// assert_eq!(office.network, Some("192.0.2.0/24".parse().unwrap()));
/// assert_eq!(office, "/ip4/192.0.2.0/ipcidr/24".parse()?);
///
/// let pasted: AllowlistEntry =
///     "/ip4/9.8.7.6/tcp/4001/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// let shortest = "/ip4/9.8.7.6/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";
/// assert_eq!(pasted.to_string(), shortest);
///
/// let friend: AllowlistEntry =
///     "/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// assert_eq!(friend.network, None);
///
/// let bad = "192.0.2.0/33".parse::<AllowlistEntry>().unwrap_err();
/// assert_eq!(
///     bad.to_string(),
///     "allowlist: 192.0.2.0/33 has a prefix of 33 bits, at most 32 are possible",
/// );
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AllowlistEntry {
    /// The network. Bits after its prefix are ignored. `None` for any address; then a peer is
    /// required.
    pub network: Option<IpNet>,
    /// The peer that the entry admits; `None` for all peers.
    pub peer: Option<PeerId>,
}

impl AllowlistEntry {
    /// # Errors
    ///
    /// If it names neither a network nor a peer.
    pub(super) fn check(&self) -> Result<(), BadConfiguration> {
        if self.network.is_some() || self.peer.is_some() {
            return Ok(());
        }
        let reason = "an entry names neither a network nor a peer";
        Err(bad("allowlist", reason.to_owned()))
    }
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
    fn name(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn name_if(&mut self, expected: &str) -> bool {
        self.0.next_if(|name| *name == expected).is_some()
    }

    /// Reads the value that follows this name. The error of `read` is empty or starts with a colon.
    fn value<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        let value = self.0.next();
        let value = value.ok_or_else(|| format!("has no value after /{name}"))?;
        read(value).map_err(|why| format!("has a bad value in /{name}/{}{why}", shown(value)))
    }

    fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        self.value(name, |value| value.parse().map_err(|_| String::new()))
    }
}

/// The number of characters that an error shows of an entry.
const MOST_SHOWN: usize = 200;

impl FromStr for AllowlistEntry {
    type Err = BadConfiguration;

    fn from_str(text: &str) -> Result<Self, BadConfiguration> {
        let entry = match text.strip_prefix('/') {
            Some(parts) => read_multiaddr(parts),
            None => read_plain(text),
        };
        entry.map_err(|reason| {
            let reason = format!("{:.MOST_SHOWN$} {reason}", shown(text));
            bad("allowlist", reason)
        })
    }
}

/// Reads an address, a network or a peer.
fn read_plain(text: &str) -> Result<AllowlistEntry, String> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    if let Ok(ip) = address.parse() {
        let network = match len.map(str::parse) {
            None => IpNet::from(ip),
            Some(Ok(len)) => network_of(ip, len)?,
            Some(Err(_)) => return Err("has a bad prefix length after the slash".to_owned()),
        };
        return Ok(AllowlistEntry {
            network: Some(canonical_network(network)),
            peer: None,
        });
    }
    // A common mistake gets its own message.
    let before_zone = address.split('%').next().unwrap_or(address);
    if before_zone.len() < address.len() && before_zone.parse::<Ipv6Addr>().is_ok() {
        return Err(ZONE.to_owned());
    }
    if text.parse::<SocketAddr>().is_ok() {
        return Err("has a port: leave it out".to_owned());
    }
    match libp2p_peer(text) {
        Ok(peer) => Ok(AllowlistEntry {
            network: None,
            peer: Some(peer),
        }),
        Err(why) => Err(format!("is not an IP address, a network or a peer{why}")),
    }
}

/// Reads the parts of a multiaddr, without the leading slash.
fn read_multiaddr(text: &str) -> Result<AllowlistEntry, String> {
    let mut parts = Parts(text.split('/').peekable());
    let mut entry = AllowlistEntry {
        network: None,
        peer: None,
    };
    let ip: Option<IpAddr> = match parts.name() {
        Some("ip4") => Some(parts.parsed::<Ipv4Addr>("ip4")?.into()),
        Some("ip6") => Some(parts.parsed::<Ipv6Addr>("ip6")?.into()),
        Some(name @ ("p2p" | "ipfs")) => {
            entry.peer = Some(parts.value(name, libp2p_peer)?);
            None
        }
        Some("ip6zone") => return Err(ZONE.to_owned()),
        _ => return Err("does not start with /ip4, /ip6 or /p2p".to_owned()),
    };
    if let Some(ip) = ip {
        // Without `/ipcidr` the entry is for one address.
        let network = match parts.name_if("ipcidr") {
            true => network_of(ip, parts.parsed("ipcidr")?)?,
            false => ip.into(),
        };
        entry.network = Some(canonical_network(network));
    }
    // Transports are checked and skipped; the peer must be last.
    while let Some(name) = parts.name() {
        if entry.peer.is_some() {
            return Err(format!("has /{} after its peer", shown(name)));
        }
        if matches!(name, "p2p" | "ipfs") {
            entry.peer = Some(parts.value(name, libp2p_peer)?);
        } else if WITH_PORT.contains(&name) {
            parts.parsed::<u16>(name)?;
        } else if WITH_TEXT.contains(&name) {
            parts.value(name, |_| Ok(()))?;
        } else if WITH_ENCODED_TEXT.contains(&name) {
            parts.value(name, is_percent_encoded)?;
        } else if !BARE.contains(&name) {
            let name = shown(name);
            return Err(format!(
                "has /{name}, which is neither a transport nor a peer"
            ));
        }
    }
    Ok(entry)
}

const ZONE: &str = "has a zone: leave it out, the entry then holds in every zone";

fn network_of(ip: IpAddr, len: u8) -> Result<IpNet, String> {
    let longest = IpNet::from(ip).max_prefix_len();
    IpNet::new(ip, len)
        .map_err(|_| format!("has a prefix of {len} bits, at most {longest} are possible"))
}

/// The libp2p peer that a text spells, in base58 or as a CIDv1. The error is empty or starts with a
/// colon.
fn libp2p_peer(text: &str) -> Result<PeerId, String> {
    match text.parse::<PeerId>() {
        // `PeerId` also parses hexadecimal, which is not a libp2p text.
        Ok(peer) if peer.is_libp2p() && !text.starts_with("0x") => Ok(peer),
        Err(error @ (PeerIdError::CutOff | PeerIdError::Mistyped)) => Err(format!(": {error}")),
        _ => Err(String::new()),
    }
}

/// Checks that the percent-decoded bytes are UTF-8. A percent sign without two hexadecimal digits
/// after it stands for itself.
fn is_percent_encoded(text: &str) -> Result<(), String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.first_chunk().filter(|_| byte == b'%');
        let digits = digits.filter(|digits: &&[u8; 2]| digits.iter().all(u8::is_ascii_hexdigit));
        let value = digits
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(value.unwrap_or(byte));
        rest = if value.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    str::from_utf8(&decoded)
        .map(drop)
        .map_err(|_| String::new())
}

impl fmt::Display for AllowlistEntry {
    /// The shortest text: without transports, and without `/ipcidr` for a single address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(network) = self.network.map(canonical_network) {
            match network.addr() {
                IpAddr::V4(ip) => write!(f, "/ip4/{ip}")?,
                IpAddr::V6(ip) => write!(f, "/ip6/{ip}")?,
            }
            if network.prefix_len() < network.max_prefix_len() {
                write!(f, "/ipcidr/{}", network.prefix_len())?;
            }
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
    fn an_error_names_the_bad_entry_and_what_is_wrong() {
        let cut = &BOB[..40];
        let peer = format!("/p2p/{BOB}");
        let bad = [
            ("", "is not an IP address"),
            ("/", "does not start with /ip4"),
            ("/ip4", "has no value after /ip4"),
            ("/ip4/192.0.2.7/", "has /, which is neither"),
            ("192.0.2.7:4001", "has a port"),
            ("[2001:db8::7]:4001", "has a port"),
            ("192.0.2.0/33", "has a prefix of 33 bits, at most 32"),
            ("2001:db8::/129", "has a prefix of 129 bits, at most 128"),
            ("192.0.2.0/x", "has a bad prefix length"),
            ("192.0.2.0/256", "has a bad prefix length"),
            ("fe80::7%eth0", "has a zone"),
            ("example.com", "is not an IP address"),
            (" 192.0.2.7", "is not an IP address"),
            ("tenant-7", "is not an IP address, a network or a peer"),
            (
                cut,
                "is not an IP address, a network or a peer: it looks like",
            ),
            ("/ip4/192.0.2.7/tcp", "has no value after /tcp"),
            ("/ip4/192.0.2.7/tcp/65536", "has a bad value in /tcp/65536"),
            (
                "/ip4/192.0.2.7/p2p/tenant-7",
                "has a bad value in /p2p/tenant-7",
            ),
            (
                "/ip4/192.0.2.7/p2p/0x0000",
                "has a bad value in /p2p/0x0000",
            ),
            ("/p2p/192.0.2.7", "has a bad value in /p2p/192.0.2.7"),
            ("/p2p", "has no value after /p2p"),
            ("/dns4/example.com/tcp/443", "does not start with /ip4"),
            (&format!("/tcp/4001{peer}"), "does not start with /ip4"),
            (&format!("{peer}/tcp/4001"), "has /tcp after its peer"),
            (
                &format!("/p2p/{cut}"),
                &format!("has a bad value in /p2p/{cut}: it looks like"),
            ),
            ("/ip4/192.0.2.7/ipcidr/33", "has a prefix of 33 bits"),
            ("/ip6/2001:db8::/ipcidr/129", "has a prefix of 129 bits"),
            (
                "/ip4/192.0.2.7/tcp/1/ipcidr/24",
                "has /ipcidr, which is neither",
            ),
            ("/ip4/192.0.2.7/ip4/192.0.2.8", "has /ip4, which is neither"),
            ("/ip6zone/eth0/ip6/fe80::1", "has a zone"),
            (
                &format!("/ip4/192.0.2.7{peer}/p2p-circuit"),
                "has /p2p-circuit after its peer",
            ),
            (
                &format!("/ip4/192.0.2.7{peer}/p2p/{ALICE}"),
                "has /p2p after its peer",
            ),
        ];
        for (entry, reason) in bad {
            let error = entry.parse::<AllowlistEntry>().unwrap_err().to_string();
            let expected = format!("allowlist: {entry} {reason}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn an_error_shows_a_hostile_entry_in_one_short_line() {
        for entry in [
            "\u{1b}[2J\n".to_owned(),
            "/ip4/".to_owned() + &"9\n".repeat(1 << 20),
        ] {
            let error = entry.parse::<AllowlistEntry>().unwrap_err().to_string();
            assert!(error.len() < 400, "{} bytes", error.len());
            assert!(!error.contains(char::is_control), "{error}");
        }
    }

    #[test]
    fn each_spelling_of_a_network_or_peer_gives_the_same_entry() {
        let same: [&[&str]; 4] = [
            &[
                "192.0.2.0/24",
                "192.0.2.7/24",
                "/ip4/192.0.2.0/ipcidr/24",
                "::ffff:192.0.2.0/120",
            ],
            &[
                "192.0.2.7",
                "/ip4/192.0.2.7/tcp/1",
                "2002:c000:207::/48",
                "/ip6/64:ff9b::c000:207",
            ],
            &["2001:db8::7", "2001:DB8:0::7/128", "/ip6/2001:db8::7"],
            &[
                BOB,
                "/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y",
                "/ipfs/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y",
                "/p2p/bafzbeif74jmhf5zeuevelmcrj44u2jqwowsvnqiwjifbjohuxyinjt7gla",
            ],
        ];
        for texts in same {
            let entries = texts
                .iter()
                .map(|text| text.parse::<AllowlistEntry>().unwrap());
            let entries: std::collections::HashSet<_> = entries.collect();
            assert_eq!(entries.len(), 1, "{texts:?}");
            for entry in entries {
                assert_eq!(entry.to_string().parse(), Ok(entry));
            }
        }
    }
}
