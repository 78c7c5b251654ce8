//! The PROXY protocol, versions 1 (text) and 2 (binary): a strict parser, a reader, a writer, and
//! the networks that must send a header.
//!
//! A proxy in front sends the header at the start of a connection. It says for which client the
//! proxy connects. [`parse`] looks at the bytes received so far and allocates nothing, and
//! [`read_header`] reads from a socket until the header is whole.
//!
//! | the parser refuses | because |
//! | --- | --- |
//! | a version 1 line over 107 bytes, line end included | the protocol ends there |
//! | addresses of the other family; ports with signs or leading zeros | readers of such text differ |
//! | a version 2 block over 4,096 bytes | [`MOST_BLOCK`] bounds the memory of a connection |
//! | a version 2 block shorter than its addresses | the rest would never come |
//! | a TLV past the end of its block; a wrong CRC32c | the header is damaged |
//! | datagrams (`DGRAM`) | guard proxies TCP |
//!
//! ```
//! use rcmgr_guard::proxy_protocol::{Parsed, parse};
//!
//! let received = b"PROXY TCP4 192.0.2.7 198.51.100.1 41000 443\r\nGET /";
//! let Parsed::Header { client, length } = parse(received)? else {
//!     panic!("the header is whole");
//! };
//! assert_eq!(client, Some("192.0.2.7:41000".parse().unwrap()));
//! assert_eq!(&received[length..], b"GET /");
//! assert_eq!(parse(&received[..20])?, Parsed::More);
//! # Ok::<_, rcmgr_guard::proxy_protocol::BadHeader>(())
//! ```

mod bad;
mod parsed;
mod read;
mod senders;
mod v1;
mod v2;
mod write;

pub use bad::{BadHeader, BadHeaderReason};
pub use parsed::Parsed;
pub use read::{HeaderError, read_header};
pub use senders::Senders;
pub use v2::MOST_BLOCK;
pub use write::header;

/// Parses the header at the start of `bytes`, of either version. It allocates nothing.
///
/// # Errors
///
/// No header begins with these bytes. More bytes would not change that.
pub fn parse(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    match bytes.first() {
        None => Ok(Parsed::More),
        Some(b'P') => v1::parse(bytes),
        // All other first bytes fail there, with the place of the first byte.
        Some(_) => v2::parse(bytes),
    }
}
