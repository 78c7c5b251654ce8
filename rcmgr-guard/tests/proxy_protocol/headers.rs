//! Headers for the tests.

use std::net::SocketAddr;

use rcmgr_guard::proxy_protocol::{BadHeaderReason, Parsed, parse};

pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The addresses 192.0.2.7:41000 to 198.51.100.1:443 in a block of version 2.
pub const IPV4_BLOCK: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xa0, 0x28, 0x01, 0xbb];
pub const CLIENT: &str = "192.0.2.7:41000";

/// A version 2 header with this command, family and block.
pub fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("the format has two bytes for the length");
    [
        &SIGNATURE[..],
        &[command, family],
        &length.to_be_bytes(),
        block,
    ]
    .concat()
}

/// A version 2 header of an IPv4 client with these TLVs.
pub fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&IPV4_BLOCK, tlvs].concat())
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

/// The header is whole, and names this client.
#[track_caller]
pub fn assert_client(header: &[u8], client: Option<&str>) {
    let expected = Parsed::Header {
        client: client.map(address),
        length: header.len(),
    };
    assert_eq!(parse(header), Ok(expected), "{}", header.escape_ascii());
}

/// The header is bad for this reason at this place.
#[track_caller]
pub fn assert_bad(header: &[u8], reason: BadHeaderReason, at: usize) {
    let bad = parse(header).expect_err(&header.escape_ascii().to_string());
    assert_eq!(
        (bad.reason, bad.at),
        (reason, at),
        "{}",
        header.escape_ascii()
    );
}

/// Valid headers of each kind, and the client of each.
pub fn valid() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let ipv6 = [
        &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..],
        &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0xa0, 0x28, 0x01, 0xbb],
    ]
    .concat();
    let six = Some("[2001:db8::7]:41000");
    let longest = format!(
        "PROXY TCP6 {0} {0} 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    );
    vec![
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.1 41000 443\r\n".to_vec(),
            Some(CLIENT),
        ),
        (
            b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".to_vec(),
            Some("0.0.0.0:0"),
        ),
        (
            b"PROXY TCP6 2001:db8::7 2001:DB8::1 41000 443\r\n".to_vec(),
            six,
        ),
        (
            b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 41000 443\r\n".to_vec(),
            Some(CLIENT),
        ),
        (
            longest.into_bytes(),
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN any text, \xff too\r\n".to_vec(), None),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &IPV4_BLOCK), None),
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x11, &IPV4_BLOCK), Some(CLIENT)),
        (with_tlvs(&[0x04, 0, 2, 0, 0]), Some(CLIENT)),
        (v2(0x21, 0x21, &ipv6), six),
        (v2(0x21, 0x31, &[0; 216]), None),
    ]
}
