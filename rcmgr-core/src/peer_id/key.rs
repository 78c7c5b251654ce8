//! Reads a peer as a person writes it in a limits file, and refuses text that can name no peer.

use std::net::IpAddr;

use super::{LONGEST_MISTYPED, PeerId, PeerIdError, ip::ZonedIp, libp2p};
use crate::shown::is_visible;
use crate::{BadConfiguration, shown};

impl PeerId {
    /// Reads a peer from a limits file or a command line.
    ///
    /// Parsing takes almost any text as a name. In a file that would hide mistakes: an entry for
    /// `192.0.2.7:4001` applies to no client with an address. So a name that looks like an address
    /// or a libp2p peer id, and is none, is an error that says what to write. A peer that really
    /// has such a name can be written in hexadecimal: `0x` and its bytes.
    ///
    /// ```
    /// use rcmgr_core::PeerId;
    ///
    /// assert_eq!(PeerId::from_key("::ffff:192.0.2.7")?, "192.0.2.7".parse().unwrap());
    ///
    /// let bad = PeerId::from_key("192.0.2.7:4001").unwrap_err();
    /// assert_eq!(
    ///     bad.reason,
    ///     "a port is not part of a peer's name; write \"192.0.2.7\"",
    /// );
    /// # Ok::<(), rcmgr_core::BadConfiguration>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the text is empty or too long, or can name no peer: it has spaces or invisible characters
    /// around it; it is an address with a port, a prefix length, an empty zone or misplaced
    /// brackets; it is several addresses, a multiaddr or a URL; it looks like an address or a libp2p
    /// peer id, but is not valid. The error's `field` is empty.
    pub fn from_key(text: &str) -> Result<Self, BadConfiguration> {
        read(text).map_err(|reason| BadConfiguration {
            reason,
            ..BadConfiguration::default()
        })
    }
}

fn read(text: &str) -> Result<PeerId, String> {
    if let Some(peer) = PeerId::encoded_by(text) {
        return peer.map_err(|error| error.to_string());
    }
    let inner = text.trim_matches(|char: char| char.is_whitespace() || !is_visible(char));
    if inner.is_empty() && !text.is_empty() {
        return Err("it has no visible character".into());
    }
    if inner.len() < text.len() {
        let what = "spaces or invisible characters stand around it";
        return Err(format!("{what}; write {:?}", shown(inner)));
    }
    if let Some(mistake) = mistake(text) {
        return Err(mistake);
    }
    if let Some(mistake) = libp2p::mistake(text, LONGEST_MISTYPED) {
        return Err(PeerIdError::from(mistake).to_string());
    }
    text.parse().map_err(|error: PeerIdError| error.to_string())
}

/// The canonical text of an address, or of a libp2p peer id.
fn canonical(text: &str) -> Option<String> {
    let peer = PeerId::encoded_by(text)?.ok()?;
    (peer.is_libp2p() || ZonedIp::parse(text).is_some()).then(|| peer.to_string())
}

/// The canonical text, if `text` is an address in any spelling.
fn address(text: &str) -> Option<String> {
    ZonedIp::parse(text).and_then(|_| canonical(text))
}

/// What is wrong with a text that was meant as an address or a libp2p peer id. `None` if it is a
/// name of another kind.
fn mistake(text: &str) -> Option<String> {
    let write = |why: &str, name: String| Some(format!("{why}; write {name:?}"));
    // A longer text is no address with something around it.
    if text.len() > 512 {
        return None;
    }
    if let Some((why, name)) = decorated(text) {
        return write(why, name);
    }
    if let Some(mistake) = several(text) {
        return Some(mistake);
    }
    if text.starts_with("<peer.ID") {
        return Some("it is a peer id that a log has shortened; write the whole peer id".into());
    }
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    if digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
        return Some("a name in hexadecimal needs two digits for each byte".into());
    }
    if is_like_ipv4(text) {
        let how = "write four numbers from 0 to 255 without leading zeros";
        return Some(format!(
            "it looks like an IPv4 address but is not valid; {how}"
        ));
    }
    is_like_ipv6(text)
        .then(|| "it looks like an IPv6 address but is not valid; check its spelling".into())
}

/// What is wrong with a text of several words, if the first is the name of a peer.
fn several(text: &str) -> Option<String> {
    let (first, rest) =
        text.split_once(|char: char| char.is_whitespace() || ",;|".contains(char))?;
    let name = canonical(first)?;
    let mut rest = rest.split(|char: char| char.is_whitespace() || ",;|".contains(char));
    Some(match rest.any(|word| canonical(word).is_some()) {
        true => "it names more than one peer; write an entry for each".into(),
        false => format!("other text follows the name; write {name:?}"),
    })
}

/// The name of a peer that stands within other text, and what is wrong with that text.
fn decorated(text: &str) -> Option<(&'static str, String)> {
    // `192.0.2.0/24`
    if let Some(name) = text.split_once('/').and_then(|(ip, _)| address(ip)) {
        let why = "a prefix length makes it a network, which Addresses.Networks can limit";
        return Some((why, name));
    }
    // `/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW...`: the peer id comes last.
    if text.starts_with('/') {
        let name = text.rsplit('/').find_map(canonical)?;
        return Some(("a multiaddr is not a peer's name", name));
    }
    // `https://192.0.2.7:443/path`
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        let name = address(host).or_else(|| without_port(host))?;
        return Some(("a URL is not a peer's name", name));
    }
    // `peer:192.0.2.7`, as logs and metrics show it.
    for prefix in ["peer:", "Peer."] {
        if let Some(name) = text.strip_prefix(prefix).and_then(canonical) {
            return Some(("the kind of scope is not part of a peer's name", name));
        }
    }
    if let Some(name) = without_port(text) {
        return Some(("a port is not part of a peer's name", name));
    }
    // `fe80::7%`, `192.0.2.7%eth0`
    let bare = text.trim_matches(['[', ']']);
    if let Some((ip, zone)) = bare.split_once('%')
        && let Ok(ip) = ip.parse::<IpAddr>()
    {
        let name = PeerId::from(ip).to_string();
        let why = match (ip, zone) {
            (IpAddr::V4(_), _) => "an IPv4 address has no zone",
            (IpAddr::V6(_), "") => {
                "its zone is empty: the name or number of an interface must follow the %"
            }
            (IpAddr::V6(_), _) => "its zone is not the name or number of an interface",
        };
        return Some((why, name));
    }
    // `'192.0.2.7'`
    let unquoted = text.trim_matches(['"', '\'', '`', '<', '>', '(', ')']);
    if unquoted.len() < text.len() {
        return Some(("quotes or brackets stand around it", canonical(unquoted)?));
    }
    // `192.0.2.7-192.0.2.9`
    if let Some((first, last)) = text.split_once('-')
        && let (Some(name), Some(_)) = (address(first), address(last))
    {
        return Some(("a range of addresses is not a peer's name", name));
    }
    // `[192.0.2.7]`, `[2001:db8::7`
    if bare.len() < text.len() {
        return Some(("its brackets are misplaced", address(bare)?));
    }
    None
}

/// The address in front of a port.
fn without_port(text: &str) -> Option<String> {
    let (ip, port) = text.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    // Without brackets, an IPv6 address cannot have a port.
    let has_room = ip.ends_with(']') || ip.parse::<std::net::Ipv4Addr>().is_ok();
    (is_port && has_room).then(|| address(ip)).flatten()
}

/// Whether a text is four numbers or asterisks with dots between them, or five if one is empty.
fn is_like_ipv4(text: &str) -> bool {
    let is_number = |part: &str| {
        part == "*" || !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts = text.split('.').filter(|part| !part.is_empty());
    let mut count = 0;
    let mut parts = parts.inspect(|_| count += 1);
    parts.all(is_number) && count == 4
}

/// Whether a text has the digits and colons of an IPv6 address.
fn is_like_ipv6(text: &str) -> bool {
    let has_colons = text.contains("::") || text.matches(':').count() > 5;
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let mut bytes = text.bytes();
    let is_like = bytes.all(|byte| byte.is_ascii_hexdigit() || b":.*/%[]".contains(&byte));
    has_colons && has_digit && is_like
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_kind_is_a_key() {
        let names = [
            "tenant-7",
            "a b",
            "user@192.0.2.7",
            "jobs/192.0.2.7",
            "example.com:443",
            "std::vec",
            "00:1b:44:11:3a:b7",
            "1.2.3",
            "v1.2.3.4",
            "Qmail-server",
            "peer:tenant-7",
            "/tenant/7",
            "ünïcode",
            "[7]",
            "100%",
            "a, b",
            "192.0.2.7-a",
            "0xyz",
            "'a'",
        ];
        for name in names {
            assert_eq!(PeerId::from_key(name), Ok(name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn a_name_in_hexadecimal_is_a_key_for_every_peer() {
        for name in ["192.0.2.7:4001", " tenant-7 ", "12D3KooW", "\u{202e}"] {
            let peer = PeerId::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(PeerId::from_key(&peer.to_hex()), Ok(peer), "{name:?}");
        }
    }
}
