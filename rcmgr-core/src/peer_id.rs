//! The id of a remote peer.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::shown::is_visible;
use ip::ZonedIp;

mod ip;
mod key;
mod libp2p;

/// The longest text that starts with `Qm` and may be a libp2p peer id that is cut off.
const LONGEST_CUT: usize = 45;

/// As above, with a few characters too many.
const LONGEST_MISTYPED: usize = 50;

/// A remote peer's id: a short byte string.
///
/// It may be a libp2p peer id, a client's address or a tenant's name. The bytes are stored inline,
/// so copying an id allocates nothing.
///
/// Each spelling of a name gives the same id: as text, as the bytes of that text, and as the value
/// that the text encodes. In this order, a name is read as
///
/// | form | the bytes of the id |
/// | --- | --- |
/// | a libp2p peer id: its multihash, base58, or CIDv1 (base 16, 32, 36 or 58) | the multihash |
/// | an IP address: any case, with or without zeros and brackets, IPv4 within IPv6 (see [`canonical_ip`](crate::canonical_ip)) | its canonical text, such as `2001:db8::7` |
/// | `0x` and hexadecimal digits | as the name that they encode |
/// | any other text or bytes | these bytes |
///
/// A link-local IPv6 address keeps its zone: `fe80::7%eth0`, `fe80::7%2` and `fe80::7` are three
/// peers. The zone of another address is left out.
///
/// The text of an id is base58 if it is a libp2p peer id, else the bytes themselves if they are
/// visible text that reads as this id, else hexadecimal. Parsing that text gives the same id.
///
/// ```
/// use rcmgr_core::PeerId;
///
/// let tenant: PeerId = "tenant-7".parse()?;
/// assert_eq!(tenant.as_bytes(), b"tenant-7");
/// assert_eq!(PeerId::from_bytes(b"tenant-7")?, tenant);
///
/// let peer: PeerId = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// assert_eq!(peer.as_bytes().len(), 34);
/// assert_eq!(peer.to_string(), "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y");
/// let cid = "bafzbeif74jmhf5zeuevelmcrj44u2jqwowsvnqiwjifbjohuxyinjt7gla";
/// assert_eq!(cid.parse(), Ok(peer));
///
/// let client: PeerId = "[2001:DB8:0::7]".parse()?;
/// assert_eq!(client.to_string(), "2001:db8::7");
/// # Ok::<(), rcmgr_core::PeerIdError>(())
/// ```
#[derive(Clone, Copy)]
pub struct PeerId {
    len: u8,
    /// The bytes after `len` are zero.
    bytes: [u8; Self::MAX_LEN],
}

/// Why bytes or text are not a [`PeerId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdError {
    /// It has no bytes.
    #[error("a peer id must not be empty")]
    Empty,
    /// It has more than [`PeerId::MAX_LEN`] bytes.
    #[error(
        "a peer id may have at most {} bytes, this one has {len}",
        PeerId::MAX_LEN
    )]
    TooLong {
        /// The number of bytes.
        len: usize,
    },
    /// It is the start of a libp2p peer id. As a name it would match no peer.
    #[error("it looks like a libp2p peer id that is cut off or mistyped; check its spelling")]
    CutOff,
    /// It starts like a libp2p peer id, has its length, and is none. As a name it would match no
    /// peer.
    #[error("it starts like a libp2p peer id but is not valid; check its spelling")]
    Mistyped,
}

impl From<libp2p::Mistake> for PeerIdError {
    fn from(mistake: libp2p::Mistake) -> Self {
        match mistake {
            libp2p::Mistake::CutOff => Self::CutOff,
            libp2p::Mistake::Mistyped => Self::Mistyped,
        }
    }
}

impl PeerId {
    /// The maximum length of a peer id, in bytes. The longest libp2p peer id, an inlined public
    /// key, has 44 bytes.
    ///
    /// With 64 bytes, a connection with its own peer would need more than 1 KiB, because each scope
    /// of the peer, and each map entry that refers to one, stores the id.
    pub const MAX_LEN: usize = 47;

    /// The peer id that these bytes spell: see the table above.
    ///
    /// Any 1 to [`MAX_LEN`](Self::MAX_LEN) bytes are an id. More bytes are one if they spell a
    /// shorter one.
    ///
    /// ```
    /// use rcmgr_core::PeerId;
    ///
    /// assert_eq!(PeerId::from_bytes(b"2001:DB8::7")?, "2001:db8::7".parse()?);
    /// assert_eq!(PeerId::from_bytes(b"\xff\0")?.to_string(), "0xff00");
    /// # Ok::<(), rcmgr_core::PeerIdError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PeerIdError`] if there are no bytes, or too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerIdError> {
        if libp2p::is_peer_id(bytes) {
            return Self::exactly(bytes);
        }
        let text = str::from_utf8(bytes).unwrap_or_default();
        Self::encoded_by(text).unwrap_or_else(|| Self::exactly(bytes))
    }

    /// The id with these bytes. They must not spell another one.
    fn exactly(bytes: &[u8]) -> Result<Self, PeerIdError> {
        let len = bytes.len();
        if len == 0 {
            return Err(PeerIdError::Empty);
        }
        if len > Self::MAX_LEN {
            let text = str::from_utf8(bytes).unwrap_or_default();
            let mistake = libp2p::mistake(text, LONGEST_MISTYPED);
            return Err(mistake.map_or(PeerIdError::TooLong { len }, PeerIdError::from));
        }
        let mut peer = Self {
            len: len as u8,
            bytes: [0; Self::MAX_LEN],
        };
        peer.bytes[..len].copy_from_slice(bytes);
        Ok(peer)
    }

    /// The id that a text encodes; `None` if the text stands for its own bytes.
    pub(crate) fn encoded_by(text: &str) -> Option<Result<Self, PeerIdError>> {
        if let Some(peer) = libp2p::from_text(text, Self::exactly) {
            return Some(peer);
        }
        if let Some(peer) = ZonedIp::parse(text).and_then(Self::of_ip) {
            return Some(Ok(peer));
        }
        // Without digits it is no hexadecimal number.
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let digits = digits.filter(|digits| !digits.is_empty())?;
        let len = HEXLOWER_PERMISSIVE.decode_len(digits.len()).ok()?;
        let mut bytes = [0; libp2p::LONGEST];
        let Some(bytes) = bytes.get_mut(..len) else {
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            return is_hex.then_some(Err(PeerIdError::TooLong { len }));
        };
        HEXLOWER_PERMISSIVE
            .decode_mut(digits.as_bytes(), bytes)
            .ok()?;
        Some(Self::from_bytes(bytes))
    }

    /// The id of an address; `None` if its text is too long, which only a zone can cause.
    fn of_ip(ip: ZonedIp<'_>) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LEN];
        let len = ip.write(&mut bytes)? as u8;
        Some(Self { len, bytes })
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether the bytes are a libp2p peer id: a SHA-256 multihash, or a short public key inlined
    /// with the identity multihash.
    ///
    /// ```
    /// use rcmgr_core::PeerId;
    ///
    /// let peer: PeerId = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
    /// assert!(peer.is_libp2p());
    /// assert!(!PeerId::try_from("tenant-7")?.is_libp2p());
    /// # Ok::<(), rcmgr_core::PeerIdError>(())
    /// ```
    pub fn is_libp2p(&self) -> bool {
        libp2p::is_peer_id(self.as_bytes())
    }

    fn to_text(self) -> String {
        if self.is_libp2p() {
            return libp2p::to_base58(self.as_bytes());
        }
        match str::from_utf8(self.as_bytes()) {
            // Text that is not visible, or that does not parse to this id, is shown in hexadecimal.
            Ok(text) if text.chars().all(is_visible) && text.parse() == Ok(self) => text.to_owned(),
            _ => self.to_hex(),
        }
    }

    pub(crate) fn to_hex(self) -> String {
        let mut text = "0x".to_owned();
        HEXLOWER_PERMISSIVE.encode_append(self.as_bytes(), &mut text);
        text
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    /// Reads a name as [`from_bytes`](PeerId::from_bytes) does.
    ///
    /// # Errors
    ///
    /// Also if the text looks like a libp2p peer id that is cut off or mistyped.
    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        if let Some(peer) = Self::encoded_by(text) {
            return peer;
        }
        match text {
            "0x" => Err(PeerIdError::Empty),
            _ => match libp2p::mistake(text, LONGEST_CUT) {
                Some(mistake) => Err(mistake.into()),
                None => Self::exactly(text.as_bytes()),
            },
        }
    }
}

impl TryFrom<&str> for PeerId {
    type Error = PeerIdError;

    /// Same as [`FromStr`].
    fn try_from(text: &str) -> Result<Self, PeerIdError> {
        text.parse()
    }
}

impl TryFrom<String> for PeerId {
    type Error = PeerIdError;

    /// Same as [`FromStr`].
    fn try_from(text: String) -> Result<Self, PeerIdError> {
        text.parse()
    }
}

impl TryFrom<&[u8]> for PeerId {
    type Error = PeerIdError;

    /// Same as [`PeerId::from_bytes`].
    fn try_from(bytes: &[u8]) -> Result<Self, PeerIdError> {
        Self::from_bytes(bytes)
    }
}

impl From<IpAddr> for PeerId {
    /// The canonical text of the address, so that listings of peers are readable. An IPv4 address
    /// within an IPv6 address (`::ffff:192.0.2.7`) gives the id of the IPv4 address, as in the
    /// limits by address: see [`canonical_ip`](crate::canonical_ip). So a client is one peer,
    /// whether an IPv4 or a dual-stack listener accepted it.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use rcmgr_core::PeerId;
    ///
    /// let client = PeerId::from(Ipv4Addr::new(192, 0, 2, 7));
    /// assert_eq!(client, "192.0.2.7".parse()?);
    /// assert_eq!(client, PeerId::from(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped()));
    /// # Ok::<(), rcmgr_core::PeerIdError>(())
    /// ```
    fn from(ip: IpAddr) -> Self {
        Self::of_ip(ip.into()).expect("the text of an IP address fits in a peer id")
    }
}

impl From<SocketAddr> for PeerId {
    /// The address without its port. A link-local IPv6 address keeps its zone, because the same
    /// address can occur on each network interface.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use rcmgr_core::PeerId;
    ///
    /// let socket: SocketAddr = "[fe80::7%2]:4001".parse()?;
    /// assert_eq!(PeerId::from(socket).to_string(), "fe80::7%2");
    /// let socket: SocketAddr = "192.0.2.7:4001".parse()?;
    /// assert_eq!(PeerId::from(socket), PeerId::from(socket.ip()));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    fn from(socket: SocketAddr) -> Self {
        let peer = Self::of_ip(socket.into());
        // The interface's number may not fit behind a link-local address with all bits in use.
        peer.unwrap_or_else(|| socket.ip().into())
    }
}

impl From<Ipv4Addr> for PeerId {
    /// Same as the conversion from [`IpAddr`].
    fn from(ip: Ipv4Addr) -> Self {
        IpAddr::from(ip).into()
    }
}

impl From<Ipv6Addr> for PeerId {
    /// Same as the conversion from [`IpAddr`].
    fn from(ip: Ipv6Addr) -> Self {
        IpAddr::from(ip).into()
    }
}

#[cfg(feature = "libp2p-identity")]
impl From<libp2p_identity::PeerId> for PeerId {
    /// The bytes of its multihash. This allocates nothing.
    ///
    /// Every peer id that is derived from a key fits. A multihash longer than [`PeerId::MAX_LEN`]
    /// cannot be the hash of a key, because SHA-256 gives 32 bytes; such a multihash is cut off.
    fn from(peer: libp2p_identity::PeerId) -> Self {
        let hash = peer.as_ref();
        let digest = hash.digest();
        let mut bytes = [0; Self::MAX_LEN];
        // The code and the length are below 128, so each is a varint of one byte; see `libp2p`.
        bytes[..2].copy_from_slice(&[hash.code() as u8, digest.len() as u8]);
        let taken = digest.len().min(Self::MAX_LEN - 2);
        bytes[2..2 + taken].copy_from_slice(&digest[..taken]);
        Self {
            len: 2 + taken as u8,
            bytes,
        }
    }
}

#[cfg(feature = "libp2p-identity")]
impl From<&libp2p_identity::PeerId> for PeerId {
    /// Same as the conversion from the peer id itself.
    fn from(peer: &libp2p_identity::PeerId) -> Self {
        (*peer).into()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_text())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl PartialEq for PeerId {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // The bytes after `len` are zero. Comparing an array of a known length takes no call.
        self.len == other.len && self.bytes == other.bytes
    }
}

impl Eq for PeerId {}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PeerId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for PeerId {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_string_survives_the_round_trip_through_text() {
        let samples: [&[u8]; 8] = [
            b"tenant-7",
            b"127.0.0.1",
            b"\x00\x01\xff",
            b"line\nbreak",
            b"0x00",
            b"0x+1",
            b"QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y",
            "ünïcode".as_bytes(),
        ];
        for bytes in samples {
            let peer = PeerId::from_bytes(bytes).unwrap();
            assert_eq!(peer.to_string().parse(), Ok(peer), "{peer}");
        }
    }

    #[test]
    fn the_longest_address_fits_in_a_peer_id() {
        let ip: IpAddr = "1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap();
        assert_eq!(PeerId::from(ip).as_bytes().len(), 39);
        let mapped: IpAddr = "::ffff:255.255.255.255".parse().unwrap();
        assert_eq!(PeerId::from(mapped).to_string(), "255.255.255.255");
    }

    #[test]
    fn an_empty_or_too_long_peer_id_is_refused() {
        assert_eq!("".parse::<PeerId>(), Err(PeerIdError::Empty));
        assert_eq!(
            PeerId::from_bytes(&[7; 48]),
            Err(PeerIdError::TooLong { len: 48 })
        );
    }
}
