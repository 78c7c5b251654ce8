//! No input causes a panic or an allocation, and each written header is read back.
//!
//! `PROPTEST_CASES` sets the number of inputs for each test.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rcmgr_guard::ProxyVersion;
use rcmgr_guard::proxy_protocol::{MOST_BLOCK, Parsed, header, parse};

use crate::haproxy;
use crate::headers::valid;

/// One change of the bytes.
#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

/// Bytes that have a meaning in one of the versions.
const TOKENS: [&[u8]; 26] = [
    b"PROXY ",
    b"TCP4 ",
    b"TCP6 ",
    b"UNKNOWN",
    b" ",
    b"\r",
    b"\n",
    b"\r\n",
    b".",
    b":",
    b"::",
    b"0",
    b"00",
    b"255",
    b"256",
    b"65536",
    b"+",
    b"-",
    b"%",
    b"::ffff:1.2.3.4",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x03\x00\x04",
    b"\x04\x00\x00",
    b"\xff\xff",
    b"\x20\x00",
    b"\x21\x11\x00\x0c",
];

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        match self {
            Self::Set(at, byte) if length > 0 => bytes[at.index(length)] = byte,
            Self::Insert(at, token) => {
                let at = at.index(length + 1);
                bytes.splice(at..at, token.iter().copied());
            }
            Self::Remove(at, count) if length > 0 => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + count));
            }
            Self::Repeat(at, count) if length > 0 => {
                let at = at.index(length);
                let part = bytes[at..length.min(at + count)].to_vec();
                bytes.splice(at..at, part);
            }
            Self::Cut(at) => bytes.truncate(at.index(length + 1)),
            Self::Set(..) | Self::Remove(..) | Self::Repeat(..) => {}
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        4 => (any::<Index>(), select(&TOKENS[..]))
            .prop_map(|(at, token)| Mutation::Insert(at, token)),
        2 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (any::<Index>(), 1..120_usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        1 => any::<Index>().prop_map(Mutation::Cut),
    ]
}

/// Valid headers with some changes.
pub fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = valid().into_iter().map(|(header, _)| header).collect();
    seeds.extend(haproxy::ALL.map(|(sent, _)| sent.to_vec()));
    seeds.push(haproxy::V2_CHECK.to_vec());
    (select(seeds), vec(mutation(), 0..4)).prop_map(|(mut bytes, mutations)| {
        for mutation in mutations {
            mutation.apply(&mut bytes);
        }
        bytes
    })
}

/// Checks each rule that holds for all input.
fn check(bytes: &[u8]) {
    let mut parsed = Ok(Parsed::More);
    let memory = allocation_counter::measure(|| parsed = parse(bytes));
    assert_eq!(memory.count_total, 0, "{}", bytes.escape_ascii());
    match parsed {
        // Bytes behind the header change nothing, and without its last byte it is not whole.
        Ok(Parsed::Header { length, .. }) => {
            assert!(length <= bytes.len());
            assert_eq!(parse(&bytes[..length]), parsed);
            assert_eq!(parse(&bytes[..length - 1]), Ok(Parsed::More));
        }
        Ok(Parsed::More) => assert!(bytes.len() < 16 + MOST_BLOCK),
        // The place lies in the bytes, except that a line may be too long at its end.
        Err(bad) => assert!(bad.at <= bytes.len(), "{bad}"),
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_without_panic_or_allocation(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn mutated_headers_are_parsed_without_panic_or_allocation(bytes in mutated()) {
        check(&bytes);
    }

    #[test]
    fn a_written_header_is_read_back_and_each_prefix_asks_for_more(
        client in any_address(),
        server in any_address(),
        version in select(&[ProxyVersion::V1, ProxyVersion::V2][..]),
    ) {
        let written = header(version, client, server);
        let client = Some(canonical(client));
        prop_assert_eq!(parse(&written), Ok(Parsed::Header { client, length: written.len() }));
        for end in 0..written.len() {
            prop_assert_eq!(parse(&written[..end]), Ok(Parsed::More));
        }
    }
}
