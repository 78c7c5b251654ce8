//! The id of a remote peer.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A remote peer's id: a short, opaque byte string.
///
/// It may be a libp2p peer id, a client's address or a tenant's name. The bytes are stored inline,
/// so copying an id allocates nothing.
///
/// Its text is base58 if the bytes are a libp2p peer id, else the bytes themselves if they are
/// printable text, else hexadecimal with a `0x` prefix. Parsing reads base58 of a libp2p peer id
/// and hexadecimal with a `0x` prefix as the bytes that they encode, and takes any other text as
/// the bytes of that text.
///
/// ```
/// use rcmgr_core::PeerId;
///
/// let tenant: PeerId = "tenant-7".parse()?;
/// assert_eq!(tenant.as_bytes(), b"tenant-7");
/// assert_eq!(PeerId::try_from("tenant-7")?, tenant);
///
/// let peer: PeerId = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// assert_eq!(peer.as_bytes().len(), 34);
/// assert_eq!(peer.to_string(), "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y");
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
}

impl PeerId {
    /// The maximum length of a peer id, in bytes. The longest libp2p peer id, an inlined public
    /// key, has 44 bytes.
    ///
    /// With 64 bytes, a connection with its own peer would need more than 1 KiB, because each scope
    /// of the peer, and each map entry that refers to one, stores the id.
    pub const MAX_LEN: usize = 47;

    /// A peer id from these bytes.
    ///
    /// # Errors
    ///
    /// [`PeerIdError`] if there are no bytes, or more than [`MAX_LEN`](Self::MAX_LEN).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerIdError> {
        let len = bytes.len();
        if len == 0 {
            return Err(PeerIdError::Empty);
        }
        if len > Self::MAX_LEN {
            return Err(PeerIdError::TooLong { len });
        }
        let mut peer = Self {
            len: len as u8,
            bytes: [0; Self::MAX_LEN],
        };
        peer.bytes[..len].copy_from_slice(bytes);
        Ok(peer)
    }

    /// The bytes.
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
        match std::str::from_utf8(self.as_bytes()) {
            // Text that would parse to other bytes is shown in hexadecimal.
            Ok(text) if !text.chars().any(char::is_control) && text.parse() == Ok(self) => {
                text.to_owned()
            }
            _ => self.to_hex(),
        }
    }

    fn to_hex(self) -> String {
        let digits = self.as_bytes().iter().map(|byte| format!("{byte:02x}"));
        std::iter::once("0x".to_owned()).chain(digits).collect()
    }
}

/// The binary and text forms of libp2p peer ids, as the libp2p specification defines them: a
/// multihash, and its base58 text. It accepts the same ids as the crate `libp2p-identity`, without
/// that crate's dependencies.
mod libp2p {
    /// The maximum length of a multihash in bytes: its code, its length, and a digest of 64 bytes.
    const LONGEST: usize = 2 + 64;

    /// The maximum length in bytes of a public key that is inlined instead of hashed.
    const LONGEST_KEY: usize = 42;

    pub(super) fn is_peer_id(bytes: &[u8]) -> bool {
        let [code, len, digest @ ..] = bytes else {
            return false;
        };
        let longest = match code {
            // The identity multihash: an inlined key.
            0x00 => LONGEST_KEY,
            // SHA-256. `libp2p-identity` accepts any digest length that fits a multihash.
            0x12 => LONGEST - 2,
            _ => return false,
        };
        digest.len() == usize::from(*len) && digest.len() <= longest
    }

    pub(super) fn to_base58(bytes: &[u8]) -> String {
        bs58::encode(bytes).into_string()
    }

    /// If `text` is the base58 form of a libp2p peer id, calls `read` with its bytes.
    pub(super) fn from_base58<T>(text: &str, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // The fixed buffer rejects longer texts early, so that a long text costs only linear time.
        let mut bytes = [0; LONGEST];
        let len = bs58::decode(text).onto(&mut bytes).ok()?;
        is_peer_id(&bytes[..len]).then(|| read(&bytes[..len]))
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        if let Some(peer) = libp2p::from_base58(text, Self::from_bytes) {
            return peer;
        }
        match text.strip_prefix("0x").and_then(from_hex) {
            Some(bytes) => Self::from_bytes(&bytes),
            None => Self::from_bytes(text.as_bytes()),
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
    /// The text of the address, so that listings of peers are readable. An IPv4-mapped IPv6 address
    /// (`::ffff:192.0.2.7`) gives the id of the IPv4 address, as in the limits by address: a client
    /// is one peer, whether an IPv4 or a dual-stack listener accepted it.
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
        let mut bytes = [0; Self::MAX_LEN];
        let mut rest = &mut bytes[..];
        // The longest text of an IPv6 address has 45 bytes.
        write!(rest, "{}", ip.to_canonical()).expect("the text of an IP address fits in a peer id");
        let len = (Self::MAX_LEN - rest.len()) as u8;
        Self { len, bytes }
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
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
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
