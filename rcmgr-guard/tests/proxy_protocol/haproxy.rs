//! Headers as HAProxy sends them.
//!
//! They were recorded from HAProxy 2.6.12, in mode `tcp`, with a client on 127.0.0.7 or ::1 and a
//! server line for each form: `send-proxy`, `send-proxy-v2`, and `send-proxy-v2 proxy-v2-options
//! crc32c,unique-id check check-send-proxy` with `unique-id-format uid-%[src]`. The client sent `hi`.

use rcmgr_guard::ProxyVersion;
use rcmgr_guard::proxy_protocol::{Parsed, header, parse};

use crate::headers::{address, assert_client};

const V1_IPV4: &[u8] = b"PROXY TCP4 127.0.0.7 127.0.0.1 41000 7001\r\nhi";
const V1_IPV6: &[u8] = b"PROXY TCP6 ::1 ::1 42000 7001\r\nhi";
const V2_IPV4: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x07\x7f\x00\x00\x01\xa0\x29\x1b\x5ahi";
const V2_IPV6: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xa4\x11\x1b\x5ahi";
/// With TLVs: CRC32c and unique id.
pub const V2_IPV4_CHECKSUM: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x23\x7f\x00\x00\x07\x7f\x00\x00\x01\xa0\x2a\x1b\x5b\
    \x03\x00\x04\x78\xfa\x06\xc4\x05\x00\x0duid-127.0.0.7hi";
const V2_IPV6_CHECKSUM: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x35\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xa4\x12\x1b\x5b\
    \x03\x00\x04\x77\x0b\x53\xc3\x05\x00\x07uid-::1hi";
/// The health check: LOCAL, with a CRC32c.
pub const V2_CHECK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x07\x03\x00\x04\xa9\xb8\x7e\x8f";

pub const ALL: [(&[u8], &str); 6] = [
    (V1_IPV4, "127.0.0.7:41000"),
    (V1_IPV6, "[::1]:42000"),
    (V2_IPV4, "127.0.0.7:41001"),
    (V2_IPV6, "[::1]:42001"),
    (V2_IPV4_CHECKSUM, "127.0.0.7:41002"),
    (V2_IPV6_CHECKSUM, "[::1]:42002"),
];

#[test]
fn headers_that_haproxy_sends_name_the_client_and_leave_its_bytes() {
    for (sent, client) in ALL {
        let length = sent.len() - b"hi".len();
        let client = Some(address(client));
        assert_eq!(parse(sent), Ok(Parsed::Header { client, length }));
    }
}

#[test]
fn a_health_check_of_haproxy_names_no_client() {
    assert_client(V2_CHECK, None);
}

#[test]
fn written_headers_are_those_of_haproxy_byte_by_byte() {
    let written = |version, client: &str, server: &str| {
        let mut bytes = header(version, address(client), address(server));
        bytes.extend(b"hi");
        bytes
    };
    let (v1, v2) = (ProxyVersion::V1, ProxyVersion::V2);
    assert_eq!(written(v1, "127.0.0.7:41000", "127.0.0.1:7001"), V1_IPV4);
    assert_eq!(written(v1, "[::1]:42000", "[::1]:7001"), V1_IPV6);
    assert_eq!(written(v2, "127.0.0.7:41001", "127.0.0.1:7002"), V2_IPV4);
    assert_eq!(written(v2, "[::1]:42001", "[::1]:7002"), V2_IPV6);
}
