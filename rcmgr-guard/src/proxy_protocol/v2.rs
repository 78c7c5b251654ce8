//! Version 2 of the header: binary, with a declared length.
//!
//! 16 bytes come first: the signature, the command, the family and the length of the block. The
//! block has the addresses, then TLVs: a type (1 byte), a length (2 bytes) and a value each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crc::{CRC_32_ISCSI, Crc, Table};

use super::bad::{BadHeader, BadHeaderReason};
use super::parsed::{Parsed, canonical};

/// The longest block (addresses and TLVs) that the parser accepts, in bytes. The format allows
/// 65,535; real headers have some hundred.
pub const MOST_BLOCK: usize = 4096;

pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes before the block.
pub(super) const FIXED: usize = 16;
const LOCAL: u8 = 0x20;
pub(super) const PROXY: u8 = 0x21;
/// Family and transport unspecified. `UNSPEC_STREAM` is accepted as well.
const UNSPEC: u8 = 0x00;
const UNSPEC_STREAM: u8 = 0x01;
pub(super) const IPV4_STREAM: u8 = 0x11;
pub(super) const IPV6_STREAM: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;
const TLV_CHECKSUM: u8 = 0x03;

/// CRC32c, with a small table: headers are short.
static CRC32C: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    // Each byte is checked when it is there, so bad input is refused before the header is whole.
    let differs = SIGNATURE.iter().zip(bytes).position(|(a, b)| a != b);
    if let Some(at) = differs {
        return Err(BadHeaderReason::Signature.at(at));
    }
    let Some(&command) = bytes.get(12) else {
        return Ok(Parsed::More);
    };
    if !matches!(command, LOCAL | PROXY) {
        return Err(BadHeaderReason::Command.at(12));
    }
    let Some(&family) = bytes.get(13) else {
        return Ok(Parsed::More);
    };
    // A receiver must ignore the family of LOCAL.
    let addresses = match (command, family) {
        (LOCAL, _) => 0,
        (_, UNSPEC | UNSPEC_STREAM) => 0,
        (_, IPV4_STREAM) => 12,
        (_, IPV6_STREAM) => 36,
        (_, UNIX_STREAM) => 216,
        _ => return Err(BadHeaderReason::Family.at(13)),
    };
    let Some(&[high, low]) = bytes.get(14..FIXED) else {
        return Ok(Parsed::More);
    };
    let block = usize::from(u16::from_be_bytes([high, low]));
    if block > MOST_BLOCK {
        return Err(BadHeaderReason::BlockTooLong.at(14));
    }
    if block < addresses {
        return Err(BadHeaderReason::BlockTooShort.at(14));
    }
    let length = FIXED + block;
    let Some(header) = bytes.get(..length) else {
        return Ok(Parsed::More);
    };
    // The block of LOCAL is TLVs where the family says that there are no addresses. Else a receiver
    // must discard it, whatever it has.
    if command == PROXY || family == UNSPEC {
        check_tlvs(header, FIXED + addresses)?;
    }
    let client = match (command, family, &header[FIXED..]) {
        (PROXY, IPV4_STREAM, &[a, b, c, d, _, _, _, _, high, low, ..]) => {
            let address = IpAddr::from(Ipv4Addr::new(a, b, c, d));
            Some(canonical(address, u16::from_be_bytes([high, low])))
        }
        (PROXY, IPV6_STREAM, rest) => rest.first_chunk::<34>().map(|ends| {
            let mut address = [0; 16];
            address.copy_from_slice(&ends[..16]);
            let port = u16::from_be_bytes([ends[32], ends[33]]);
            canonical(Ipv6Addr::from(address).into(), port)
        }),
        _ => None,
    };
    Ok(Parsed::Header { client, length })
}

/// Checks that the TLVs from `at` on fill the header exactly, and the checksum if one is there.
fn check_tlvs(header: &[u8], mut at: usize) -> Result<(), BadHeader> {
    let mut has_checksum = false;
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else {
            return Err(BadHeaderReason::TlvTooLong.at(at));
        };
        let start = at + 3;
        let end = start + usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = header.get(start..end) else {
            return Err(BadHeaderReason::TlvTooLong.at(at));
        };
        if kind == TLV_CHECKSUM {
            let Ok(said) = <[u8; 4]>::try_from(value) else {
                return Err(BadHeaderReason::ChecksumForm.at(at));
            };
            if has_checksum {
                return Err(BadHeaderReason::ChecksumForm.at(at));
            }
            has_checksum = true;
            if checksum(header, start) != u32::from_be_bytes(said) {
                return Err(BadHeaderReason::Checksum.at(at));
            }
        }
        at = end;
    }
    Ok(())
}

/// The CRC32c of the header, with zeros for the 4 bytes at `at`, which have the checksum itself.
fn checksum(header: &[u8], at: usize) -> u32 {
    let mut digest = CRC32C.digest();
    digest.update(&header[..at]);
    digest.update(&[0; 4]);
    digest.update(&header[at + 4..]);
    digest.finalize()
}
