//! Other parsers, beside ours. Each is wrong somewhere, and `may_differ` says where.

use std::net::SocketAddr;

use ppp::PartialResult;
use proptest::prelude::*;
use rcmgr_guard::proxy_protocol::{BadHeaderReason as Reason, Parsed, parse};

use crate::fuzz::mutated;
use crate::haproxy;
use crate::headers::valid;

/// What a parser says. The reasons of other parsers are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    More,
    Bad,
    Header(Option<SocketAddr>, usize),
}

struct Parser {
    name: &'static str,
    verdict: fn(&[u8]) -> Verdict,
    /// Whether this parser may differ, where we accept the header or need more bytes.
    is_stricter: fn(&[u8]) -> bool,
    /// What this parser accepts and we refuse.
    is_laxer: &'static [Reason],
}

const PARSERS: [Parser; 3] = [
    Parser {
        name: "ppp",
        verdict: of_ppp,
        // It reads at most five words after UNKNOWN as UTF-8,
        // and needs a valid family with its addresses for LOCAL.
        is_stricter: |bytes| is_unknown_with_text(bytes) || is_local(bytes),
        is_laxer: &[
            Reason::LineEnd,
            // It accepts a plus sign.
            Reason::Port,
            Reason::Family,
            Reason::BlockTooLong,
            Reason::TlvTooLong,
            Reason::Checksum,
            Reason::ChecksumForm,
        ],
    },
    Parser {
        name: "proxy-header",
        verdict: of_proxy_header,
        // It needs a valid family with its addresses for LOCAL, and refuses UNSPEC with STREAM.
        is_stricter: |bytes| is_local(bytes) || family(bytes) == Some(0x01),
        is_laxer: &[
            // It accepts any byte between PROXY and the protocol.
            Reason::Signature,
            Reason::LineTooLong,
            Reason::LineEnd,
            Reason::Port,
            Reason::Family,
            Reason::BlockTooLong,
            Reason::TlvTooLong,
            Reason::Checksum,
            Reason::ChecksumForm,
        ],
    },
    Parser {
        name: "proxy-protocol-rs",
        verdict: of_proxy_protocol_rs,
        // It refuses UNSPEC, and text after UNKNOWN that is not UTF-8. It reads the block of LOCAL
        // as TLVs whatever the family, so addresses there can look like a wrong checksum.
        // It reads the values of some TLVs.
        is_stricter: |bytes| {
            is_local(bytes)
                || has_tlvs(bytes)
                || matches!(family(bytes), Some(0x00 | 0x01))
                || is_unknown_with_text(bytes)
        },
        is_laxer: &[
            Reason::LineEnd,
            Reason::Port,
            Reason::Family,
            Reason::BlockTooLong,
            // In LOCAL.
            Reason::TlvTooLong,
            Reason::ChecksumForm,
        ],
    },
];

fn is_unknown_with_text(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PROXY UNKNOWN ")
}

fn is_local(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'\r') && bytes.get(12) == Some(&0x20)
}

fn family(bytes: &[u8]) -> Option<u8> {
    let is_binary = bytes.first() == Some(&b'\r');
    bytes.get(13).copied().filter(|_| is_binary)
}

fn has_tlvs(bytes: &[u8]) -> bool {
    let declared = bytes.get(14..16);
    match family(bytes) {
        Some(0x11) => declared != Some(&[0, 12]),
        Some(0x21) => declared != Some(&[0, 36]),
        Some(0x31) => declared != Some(&[0, 216]),
        _ => false,
    }
}

fn canonical(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip().to_canonical(), client.port())
}

fn of_ppp(bytes: &[u8]) -> Verdict {
    let result = ppp::HeaderResult::parse(bytes);
    let is_incomplete = result.is_incomplete();
    match result {
        _ if is_incomplete => Verdict::More,
        ppp::HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                ppp::v1::Addresses::Unknown => None,
                ppp::v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
                ppp::v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
            };
            Verdict::Header(client.map(canonical), header.header.len())
        }
        ppp::HeaderResult::V2(Ok(header)) => {
            let client = match header.addresses {
                _ if header.command == ppp::v2::Command::Local => None,
                ppp::v2::Addresses::IPv4(ip) => Some((ip.source_address, ip.source_port).into()),
                ppp::v2::Addresses::IPv6(ip) => Some((ip.source_address, ip.source_port).into()),
                ppp::v2::Addresses::Unspecified | ppp::v2::Addresses::Unix(_) => None,
            };
            Verdict::Header(client.map(canonical), header.len())
        }
        ppp::HeaderResult::V1(Err(_)) | ppp::HeaderResult::V2(Err(_)) => Verdict::Bad,
    }
}

fn of_proxy_header(bytes: &[u8]) -> Verdict {
    match proxy_header::ProxyHeader::parse(bytes, proxy_header::ParseConfig::default()) {
        Ok((header, length)) => {
            let client = header.proxied_address().map(|ends| canonical(ends.source));
            Verdict::Header(client, length)
        }
        Err(proxy_header::Error::BufferTooShort) => Verdict::More,
        Err(_) => Verdict::Bad,
    }
}

fn of_proxy_protocol_rs(bytes: &[u8]) -> Verdict {
    match proxy_protocol_rs::parse(bytes) {
        Ok((info, length)) => Verdict::Header(info.source_inet().map(canonical), length),
        Err(proxy_protocol_rs::ParseError::Incomplete) => Verdict::More,
        Err(_) => Verdict::Bad,
    }
}

/// Compares ours with all others.
#[track_caller]
fn compare(bytes: &[u8]) {
    for parser in PARSERS {
        let other = (parser.verdict)(bytes);
        let agrees = match parse(bytes) {
            Ok(Parsed::Header { client, length }) => {
                other == Verdict::Header(client, length) || (parser.is_stricter)(bytes)
            }
            // Others may refuse a field before it ends. `pitfalls` has the prefixes of valid headers.
            Ok(Parsed::More) => {
                !matches!(other, Verdict::Header(..)) || (parser.is_stricter)(bytes)
            }
            // We refuse at the first wrong byte, others when they have the whole field or line.
            Err(bad) => {
                !matches!(other, Verdict::Header(..))
                    || parser.is_laxer.contains(&bad.reason)
                    // Others read the block of LOCAL and ignore its faults.
                    || is_local(bytes)
            }
        };
        assert!(
            agrees,
            "{}: {other:?}, ours: {:?}, of \"{}\"",
            parser.name,
            parse(bytes),
            bytes.escape_ascii()
        );
    }
}

#[test]
fn other_parsers_read_the_same_from_valid_headers_and_all_their_prefixes() {
    let mut headers: Vec<Vec<u8>> = valid().into_iter().map(|(header, _)| header).collect();
    headers.extend(haproxy::ALL.map(|(sent, _)| sent.to_vec()));
    headers.push(haproxy::V2_CHECK.to_vec());
    for header in headers {
        for end in 0..=header.len() {
            compare(&header[..end]);
        }
    }
}

#[test]
fn a_split_before_the_port_is_no_error_as_it_is_in_ppp() {
    let prefix = b"PROXY TCP4 192.0.2.7 198.51.100.1 41000 ";
    assert_eq!(of_ppp(prefix), Verdict::Bad);
    assert_eq!(parse(prefix), Ok(Parsed::More));
}

#[test]
fn a_short_block_does_not_wait_as_it_does_in_proxy_header() {
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x02ab";
    assert_eq!(of_proxy_header(header), Verdict::More);
    assert!(parse(header).is_err());
}

#[test]
fn an_unspecified_family_is_accepted_as_proxy_protocol_rs_does_not() {
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00";
    assert_eq!(of_proxy_protocol_rs(header), Verdict::Bad);
    let client = None;
    assert_eq!(parse(header), Ok(Parsed::Header { client, length: 16 }));
}

proptest! {
    #[test]
    fn other_parsers_agree_on_mutated_headers_but_where_they_are_known_to_be_wrong(
        bytes in mutated(),
    ) {
        compare(&bytes);
    }
}
