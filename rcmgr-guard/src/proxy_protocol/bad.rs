//! Why and where a header is refused.

use thiserror::Error;

/// Bytes that are not a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("bad PROXY header at byte {at}: {reason}")]
pub struct BadHeader {
    /// What is wrong.
    pub reason: BadHeaderReason,
    /// The offset of the wrong byte, or of the first byte of the wrong field.
    pub at: usize,
}

/// What is wrong with a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadHeaderReason {
    /// Neither version begins like this.
    #[error("no PROXY header begins like this")]
    Signature,
    /// Version 1: neither `TCP4`, `TCP6` nor `UNKNOWN`.
    #[error("the protocol is neither TCP4, TCP6 nor UNKNOWN")]
    Protocol,
    /// Version 1: no address of the family.
    #[error("not an address of this family")]
    Address,
    /// Version 1: no port, or not in its shortest form.
    #[error("not a port (0 to 65535, without sign or leading zero)")]
    Port,
    /// Version 1: a carriage return or line feed alone, or none at the end.
    #[error("the line does not end in CR LF here")]
    LineEnd,
    /// Version 1: no line end in the first 107 bytes.
    #[error("the line is longer than 107 bytes")]
    LineTooLong,
    /// Version 2: neither `LOCAL` nor `PROXY` of version 2.
    #[error("neither the LOCAL nor the PROXY command of version 2")]
    Command,
    /// Version 2: an address family and transport that are unknown, or not of streams.
    #[error("this address family and transport are not supported")]
    Family,
    /// Version 2: the declared length is above [`MOST_BLOCK`](super::MOST_BLOCK).
    #[error("the declared length is over the bound of 4096 bytes")]
    BlockTooLong,
    /// Version 2: the declared length is too short for the addresses of the family.
    #[error("the declared length is too short for the addresses")]
    BlockTooShort,
    /// Version 2: a TLV goes past the end of the header.
    #[error("a TLV goes past the end of the header")]
    TlvTooLong,
    /// Version 2: the CRC32c of the header is another than its TLV says.
    #[error("the checksum is wrong")]
    Checksum,
    /// Version 2: a CRC32c TLV that is not 4 bytes long, or a second one.
    #[error("a checksum must be 4 bytes long, and occur once")]
    ChecksumForm,
}

impl BadHeaderReason {
    /// The error for this reason at this place.
    pub(super) fn at(self, at: usize) -> BadHeader {
        BadHeader { reason: self, at }
    }
}
