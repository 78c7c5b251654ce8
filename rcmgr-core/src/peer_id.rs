//! The id of a remote peer.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The remote peer: an opaque, short byte string.
///
/// It may be a libp2p peer id, a client's address, or a tenant's name. The bytes are kept inline,
/// so a copy, in an error for example, allocates nothing.
///
/// As text it is a libp2p peer id in base58 where the bytes are one, else the bytes as text where
/// they are printable, else in hexadecimal behind `0x`. Reading takes a libp2p peer id, or
/// hexadecimal behind `0x`, for the bytes that it stands for, and anything else for the bytes of
/// the text.
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
    /// Zero behind `len`.
    bytes: [u8; Self::MAX_LEN],
}

/// The reason why something is not a [`PeerId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdError {
    /// There are no bytes in it.
    #[error("a peer id must not be empty")]
    Empty,
    /// There are more than [`PeerId::MAX_LEN`] bytes in it.
    #[error("a peer id has at most {} bytes, this one has {len}", PeerId::MAX_LEN)]
    TooLong {
        /// The number of bytes.
        len: usize,
    },
}

impl PeerId {
    /// The longest peer id, in bytes. The longest libp2p peer id, a key written out, has 44.
    ///
    /// With 64 bytes a connection with a peer of its own would take more than 1 KiB, because each
    /// scope of the peer, and each entry of a map that finds it, holds the id.
    pub const MAX_LEN: usize = 47;

    /// A peer id of these bytes.
    ///
    /// # Errors
    ///
    /// If there are none, or more than [`MAX_LEN`](Self::MAX_LEN).
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

    /// Whether the bytes are those of a libp2p peer id: a multihash of SHA-256, or a short key
    /// written out.
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
            // Text that reads as other bytes would not come back as it went.
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

/// The bytes and the text of libp2p peer ids, as the specification has them: a multihash, in
/// base58 as text. It reads what the crate `libp2p-identity` reads, without the crates of that.
mod libp2p {
    /// The most bytes of a multihash: its code, its length, and a digest of 64 bytes.
    const LONGEST: usize = 2 + 64;

    /// The most bytes of a key that is written out in place of its hash.
    const LONGEST_KEY: usize = 42;

    pub(super) fn is_peer_id(bytes: &[u8]) -> bool {
        let [code, len, digest @ ..] = bytes else {
            return false;
        };
        let longest = match code {
            // The identity.
            0x00 => LONGEST_KEY,
            // SHA-256. Other crates take any length that fits a multihash.
            0x12 => LONGEST - 2,
            _ => return false,
        };
        digest.len() == usize::from(*len) && digest.len() <= longest
    }

    pub(super) fn to_base58(bytes: &[u8]) -> String {
        bs58::encode(bytes).into_string()
    }

    /// Calls `read` with the bytes of the peer id that this is the text of, if it is one.
    pub(super) fn from_base58<T>(text: &str, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // A text of more bytes does not fit, so that a long text costs no more than its length.
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

    /// As [`FromStr`].
    fn try_from(text: &str) -> Result<Self, PeerIdError> {
        text.parse()
    }
}

impl TryFrom<String> for PeerId {
    type Error = PeerIdError;

    /// As [`FromStr`].
    fn try_from(text: String) -> Result<Self, PeerIdError> {
        text.parse()
    }
}

impl TryFrom<&[u8]> for PeerId {
    type Error = PeerIdError;

    /// As [`PeerId::from_bytes`].
    fn try_from(bytes: &[u8]) -> Result<Self, PeerIdError> {
        Self::from_bytes(bytes)
    }
}

impl From<IpAddr> for PeerId {
    /// The address as text, so that it reads well where peers are shown. An IPv6 address that
    /// stands for an IPv4 address (`::ffff:192.0.2.7`) is that IPv4 address, as in the limits by
    /// address: a client is one peer, whichever kind of listener accepted it.
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
        // The longest IPv6 address in text has 45 bytes.
        write!(rest, "{}", ip.to_canonical()).expect("an address in text is short");
        let len = (Self::MAX_LEN - rest.len()) as u8;
        Self { len, bytes }
    }
}

impl From<Ipv4Addr> for PeerId {
    /// As from an [`IpAddr`].
    fn from(ip: Ipv4Addr) -> Self {
        IpAddr::from(ip).into()
    }
}

impl From<Ipv6Addr> for PeerId {
    /// As from an [`IpAddr`].
    fn from(ip: Ipv6Addr) -> Self {
        IpAddr::from(ip).into()
    }
}

#[cfg(feature = "libp2p-identity")]
impl From<libp2p_identity::PeerId> for PeerId {
    /// The bytes of its multihash. Nothing is allocated.
    ///
    /// The peer ids of all keys fit. A multihash that is longer than [`PeerId::MAX_LEN`] is not the
    /// hash of a key, because SHA-256 gives 32 bytes; of such a one the first bytes are taken.
    fn from(peer: libp2p_identity::PeerId) -> Self {
        let hash = peer.as_ref();
        let digest = hash.digest();
        let mut bytes = [0; Self::MAX_LEN];
        // Both are below 128, so they are varints of one byte: see `libp2p`.
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
    /// As from the peer id itself.
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
    fn every_byte_string_comes_back_from_its_text() {
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
    fn the_longest_address_is_a_peer_id() {
        let ip: IpAddr = "1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap();
        assert_eq!(PeerId::from(ip).as_bytes().len(), 39);
        let mapped: IpAddr = "::ffff:255.255.255.255".parse().unwrap();
        assert_eq!(PeerId::from(mapped).to_string(), "255.255.255.255");
    }

    #[test]
    fn a_peer_id_that_is_empty_or_too_long_is_refused() {
        assert_eq!("".parse::<PeerId>(), Err(PeerIdError::Empty));
        assert_eq!(
            PeerId::from_bytes(&[7; 48]),
            Err(PeerIdError::TooLong { len: 48 })
        );
    }
}
