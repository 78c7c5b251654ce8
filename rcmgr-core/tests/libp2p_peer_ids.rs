//! Compares the parsing and printing of libp2p peer ids with the crate `libp2p-identity`, which
//! rcmgr-core depends on only with the feature of that name.

use libp2p_identity::PeerId as Libp2pPeerId;
use proptest::collection::vec;
use proptest::prelude::*;
use rcmgr_core::{PeerId, PeerIdError};

/// The expected result of parsing, computed with `libp2p-identity`.
fn expected(text: &str) -> Result<PeerId, PeerIdError> {
    if let Ok(peer) = text.parse::<Libp2pPeerId>() {
        return PeerId::from_bytes(&peer.to_bytes());
    }
    let from_hex = |digits: &str| -> Option<Vec<u8>> {
        let hex =
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && digits.len().is_multiple_of(2);
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        hex.then(|| (0..digits.len()).step_by(2).map(byte).collect())
    };
    match text.strip_prefix("0x").and_then(from_hex) {
        Some(bytes) => PeerId::from_bytes(&bytes),
        // A part of an id is an error in text. Bytes may have any value.
        None if is_cut(text) => Err(PeerIdError::CutOff),
        None => PeerId::from_bytes(text.as_bytes()),
    }
}

/// Whether a text is at least half of the base58 text of a SHA-256 multihash.
fn is_cut(text: &str) -> bool {
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let is_base58 = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.starts_with("Qm") && (24..46).contains(&text.len()) && has_digit && is_base58
}

/// Multihashes that are peer ids, near misses, and arbitrary bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let hash = |code: u8, len: std::ops::Range<usize>| {
        vec(any::<u8>(), len)
            .prop_map(move |digest| [vec![code, digest.len() as u8], digest].concat())
    };
    prop_oneof![
        hash(0x12, 32..33),
        hash(0x12, 0..70),
        hash(0x00, 0..50),
        hash(0x13, 64..65),
        // The length byte is wrong, or the code takes two bytes.
        (hash(0x12, 30..35), any::<u8>()).prop_map(|(mut hash, len)| {
            hash[1] = len;
            hash
        }),
        hash(0x00, 30..35).prop_map(|hash| [vec![0x80], hash].concat()),
        hash(0x12, 30..35).prop_map(|mut hash| {
            hash.splice(0..1, [0x92, 0x00]);
            hash
        }),
        vec(any::<u8>(), 0..80),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        bytes().prop_map(|bytes| bs58::encode(bytes).into_string()),
        bytes().prop_map(|bytes| {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            format!("0x{}", digits.collect::<String>())
        }),
        "[1-9A-HJ-NP-Za-km-z]{0,100}",
        "1{0,70}",
        (bytes(), any::<char>()).prop_map(|(bytes, odd)| {
            let mut text = bs58::encode(bytes).into_string();
            text.push(odd);
            text
        }),
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn text_parses_as_with_libp2p_identity(text in text()) {
        prop_assert_eq!(text.parse::<PeerId>(), expected(&text));
    }

    #[test]
    fn bytes_are_recognized_and_printed_as_with_libp2p_identity(bytes in bytes()) {
        let libp2p = Libp2pPeerId::from_bytes(&bytes);
        let Ok(peer) = PeerId::from_bytes(&bytes) else {
            return Ok(());
        };
        prop_assert_eq!(peer.is_libp2p(), libp2p.is_ok());
        if let Ok(libp2p) = libp2p {
            prop_assert_eq!(peer.to_string(), libp2p.to_base58());
        }
        prop_assert_eq!(peer.to_string().parse::<PeerId>(), Ok(peer));
    }

    #[cfg(feature = "libp2p-identity")]
    #[test]
    fn a_converted_peer_id_has_the_same_bytes(bytes in bytes()) {
        if let Ok(libp2p) = Libp2pPeerId::from_bytes(&bytes) {
            let fits = bytes.len().min(PeerId::MAX_LEN);
            let peer = PeerId::from(libp2p);
            prop_assert_eq!(peer.as_bytes(), &bytes[..fits]);
        }
    }
}
