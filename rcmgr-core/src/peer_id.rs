use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;

use libp2p_identity::PeerId as Libp2pPeerId;

/// Who is at the other end: an opaque, short byte string.
///
/// It may be a libp2p peer id, a client's address, a tenant's name. It is kept inline, so that a
/// copy, in an error for example, allocates nothing.
///
/// As text it is a libp2p peer id in base58 where it is one, else the bytes as text where they are
/// printable, else in hexadecimal behind `0x`. Reading text takes a libp2p peer id or hexadecimal
/// behind `0x` for the bytes that it stands for, and anything else for the bytes of the text.
///
/// ```
/// use rcmgr_core::PeerId;
///
/// let tenant: PeerId = "tenant-7".parse()?;
/// assert_eq!(tenant.as_bytes(), b"tenant-7");
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

/// Why something is not a [`PeerId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdError {
    /// There are no bytes in it.
    #[error("a peer id must not be empty")]
    Empty,
    /// There are more than [`PeerId::MAX_LEN`] bytes in it.
    #[error("a peer id has at most {} bytes, this one has {len}", PeerId::MAX_LEN)]
    TooLong {
        /// How many there are.
        len: usize,
    },
}

impl PeerId {
    /// The longest peer id, in bytes. The longest of libp2p, a key written out, has 44.
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

    fn to_text(self) -> Cow<'static, str> {
        if let Ok(peer) = Libp2pPeerId::from_bytes(self.as_bytes()) {
            return peer.to_base58().into();
        }
        match std::str::from_utf8(self.as_bytes()) {
            // Text that reads as other bytes would not come back as it went.
            Ok(text) if !text.chars().any(char::is_control) && text.parse() == Ok(self) => {
                text.to_owned().into()
            }
            _ => self.to_hex().into(),
        }
    }

    fn to_hex(self) -> String {
        let digits = self.as_bytes().iter().map(|byte| format!("{byte:02x}"));
        std::iter::once("0x".to_owned()).chain(digits).collect()
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
        if let Ok(peer) = text.parse::<Libp2pPeerId>() {
            return Self::from_bytes(&peer.to_bytes());
        }
        match text.strip_prefix("0x").and_then(from_hex) {
            Some(bytes) => Self::from_bytes(&bytes),
            None => Self::from_bytes(text.as_bytes()),
        }
    }
}

impl From<IpAddr> for PeerId {
    /// The address as text, so that it reads well where peers are shown. One that stands for an IPv4
    /// address (`::ffff:192.0.2.7`) is that, as for the limits on addresses: a client is one peer,
    /// whichever kind of listener it came through.
    fn from(ip: IpAddr) -> Self {
        // The longest IPv6 address in text has 45 bytes.
        Self::from_bytes(ip.to_canonical().to_string().as_bytes())
            .expect("an address in text is short")
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
    fn a_peer_id_that_is_empty_or_too_long_is_refused() {
        assert_eq!("".parse::<PeerId>(), Err(PeerIdError::Empty));
        assert_eq!(
            PeerId::from_bytes(&[7; 48]),
            Err(PeerIdError::TooLong { len: 48 })
        );
    }
}
