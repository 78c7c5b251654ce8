//! Peer ids of libp2p are read and written as by `libp2p-identity`, which this crate does not
//! depend on without the feature.

use libp2p_identity::PeerId as Libp2pPeerId;
use proptest::collection::vec;
use proptest::prelude::*;
use rcmgr_core::{PeerId, PeerIdError};

/// Reads text as this crate did while it was built on `libp2p-identity`.
fn parsed(text: &str) -> Result<PeerId, PeerIdError> {
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
        None => PeerId::from_bytes(text.as_bytes()),
    }
}

/// Multihashes that are peer ids, those that nearly are, and other bytes.
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
        // The length is wrong, or has a byte too many.
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
    fn text_is_read_as_by_libp2p_identity(text in text()) {
        prop_assert_eq!(text.parse::<PeerId>(), parsed(&text));
    }

    #[test]
    fn bytes_are_known_and_written_as_by_libp2p_identity(bytes in bytes()) {
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
    fn a_peer_id_of_libp2p_is_its_bytes(bytes in bytes()) {
        if let Ok(libp2p) = Libp2pPeerId::from_bytes(&bytes) {
            let fits = bytes.len().min(PeerId::MAX_LEN);
            let peer = PeerId::from(libp2p);
            prop_assert_eq!(peer.as_bytes(), &bytes[..fits]);
        }
    }
}
