//! The binary and text forms of libp2p peer ids, as the libp2p specification defines them.
//!
//! The binary form is a multihash. Its texts are base58, and a CIDv1 with the codec `libp2p-key`. In
//! base58 this accepts the same ids as the crate `libp2p-identity`, without that crate's
//! dependencies.

use data_encoding::{BASE32_NOPAD_NOCASE, Encoding, HEXLOWER_PERMISSIVE};

/// The maximum length of a multihash in bytes: its code, its length, and a digest of 64 bytes.
pub const LONGEST: usize = 2 + 64;

/// The maximum length in bytes of a public key that is inlined instead of hashed.
const LONGEST_KEY: usize = 42;

/// The bytes of a CIDv1 before the multihash: the version, and the codec `libp2p-key`.
const CID_PREFIX: [u8; 2] = [0x01, 0x72];

pub fn is_peer_id(bytes: &[u8]) -> bool {
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

pub fn to_base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

/// If `text` is a libp2p peer id, calls `read` with its bytes.
pub fn from_text<T>(text: &str, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    // The fixed buffers reject longer texts early, so that a long text costs only linear time.
    let mut base58 = [0; LONGEST];
    if let Ok(len) = bs58::decode(text).onto(&mut base58)
        && is_peer_id(&base58[..len])
    {
        return Some(read(&base58[..len]));
    }
    let mut cid = [0; CID_PREFIX.len() + LONGEST];
    let len = from_multibase(text, &mut cid)?;
    let hash = cid[..len].strip_prefix(&CID_PREFIX)?;
    is_peer_id(hash).then(|| read(hash))
}

/// Decodes a text whose first character names its base. Returns the number of bytes.
///
/// These are the bases that libp2p's tools print. Letters of both cases are accepted where the base
/// has only one case.
fn from_multibase(text: &str, bytes: &mut [u8]) -> Option<usize> {
    let mut chars = text.chars();
    let base = chars.next()?;
    let digits = chars.as_str();
    match base {
        'b' | 'B' => decode(&BASE32_NOPAD_NOCASE, digits, bytes),
        'f' | 'F' => decode(&HEXLOWER_PERMISSIVE, digits, bytes),
        'k' | 'K' => from_base36(digits, bytes),
        'z' => bs58::decode(digits).onto(bytes).ok(),
        _ => None,
    }
}

fn decode(encoding: &Encoding, digits: &str, bytes: &mut [u8]) -> Option<usize> {
    let len = encoding.decode_len(digits.len()).ok()?;
    let bytes = bytes.get_mut(..len)?;
    encoding.decode_mut(digits.as_bytes(), bytes).ok()
}

/// Decodes a number in base 36. A leading zero would stand for a zero byte, and no CID has one.
fn from_base36(digits: &str, bytes: &mut [u8]) -> Option<usize> {
    if digits.starts_with('0') {
        return None;
    }
    // Multiply and add, digit by digit; the lowest byte comes first until the end.
    let mut len = 0;
    for digit in digits.chars() {
        let mut carry = digit.to_digit(36)?;
        for byte in &mut bytes[..len] {
            carry += u32::from(*byte) * 36;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry > 0 {
            *bytes.get_mut(len)? = carry as u8;
            len += 1;
        }
    }
    bytes[..len].reverse();
    Some(len)
}

/// The starts of the texts of libp2p peer ids, and the length of the whole text.
///
/// The first part of a text is the same for all peers with one type of key. The last four are CIDs
/// of content, which people take for peer ids.
const STARTS: [(&str, usize); 14] = [
    ("12D3KooW", 52),
    ("16Uiu2HA", 53),
    ("bafzaajai", 65),
    ("bafzaajii", 67),
    ("bafzbei", 59),
    ("k51qzi5uqu5d", 62),
    ("kzwfwjn5ji4p", 63),
    ("k2k4r8", 56),
    ("z5AanNVJCxn", 55),
    ("zKPJ7QRXxW7m", 56),
    ("bafybei", 59),
    ("bafkrei", 59),
    ("zdj7W", 49),
    ("zb2rh", 49),
];

/// The start of the text of a peer id that is a hash, and the length of the whole text. It is too
/// short to tell on its own.
const HASHED: (&str, usize) = ("Qm", 46);

/// What is wrong with a text that looks like a libp2p peer id.
#[derive(Debug)]
pub enum Mistake {
    /// It is too short.
    CutOff,
    /// It has the length of one, or more.
    Mistyped,
}

/// What is wrong with a text that starts like a libp2p peer id, and is not one.
///
/// Accepted as an opaque name, a mistyped id would set a limit that applies to no peer.
/// `longest_hashed` is the maximum length of a text that starts with `Qm`, in bytes.
pub fn mistake(text: &str, longest_hashed: usize) -> Option<Mistake> {
    let starts_with = |start: &str| {
        let head = text.get(..start.len());
        // Base 32 and 36 have no case; the other starts are long enough to need none.
        head.is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    // A short start needs a text that is long enough.
    let is_long = |start: &str| start.len() >= 7 || text.len() >= 16;
    let plain = STARTS
        .into_iter()
        .find(|(start, _)| starts_with(start) && is_long(start));
    let hashed = || {
        let (start, _) = HASHED;
        let is_like = text.starts_with(start)
            && (24..=longest_hashed).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && text.bytes().any(|byte| byte.is_ascii_digit());
        is_like.then_some(HASHED)
    };
    let (_, length) = plain.or_else(hashed)?;
    Some(match text.len() < length {
        true => Mistake::CutOff,
        false => Mistake::Mistyped,
    })
}
