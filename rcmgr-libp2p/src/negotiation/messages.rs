//! The messages of multistream-select on the wire: a length as an unsigned varint, then as many
//! bytes. This finds them in bytes that come in pieces of any size.

/// The first message of both sides.
pub(super) const HEADER: &[u8] = b"/multistream/1.0.0\n";

/// The header with its length.
pub(super) const HEADER_MESSAGE: &[u8] = b"\x13/multistream/1.0.0\n";

/// The answer of a listener that does not support the proposal.
pub(super) const NOT_AVAILABLE: &[u8] = b"na\n";

/// Whether a message with this text and a line feed, which begins like a name, is one. It may also be
/// a header, or an answer to `ls`, which has more than one line.
pub(super) fn is_name(text: &[u8]) -> bool {
    // Without a search that ends early: names are short.
    let line_feeds = text.iter().filter(|&&byte| byte == b'\n').count();
    line_feeds == 0 && HEADER.strip_suffix(b"\n") != Some(text)
}

/// The text without the line feed, if these bytes are one whole message that begins like a name. A length
/// of two bytes is left out: names are short.
#[inline]
pub(super) fn begins_like_name(message: &[u8]) -> Option<&[u8]> {
    let (&length, text) = message.split_first()?;
    let is_whole = length <= 0x7f && usize::from(length) == text.len();
    let begins_like_name = text.first() == Some(&b'/');
    (is_whole && begins_like_name).then(|| text.strip_suffix(b"\n"))?
}

/// The most bytes that a message has. Its length has two bytes at most.
pub(super) const MAX_LENGTH: u16 = (1 << 14) - 1;

/// A length that multistream-select does not send.
#[derive(Debug)]
pub(super) struct BadLength;

/// How far one direction of a stream has come in its messages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Position {
    #[default]
    BeforeLength,
    /// The first byte of two has come: these are its seven bits of the length.
    InLength(u8),
    InMessage {
        length: u16,
        at: u16,
    },
}

/// Bytes of one message.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// How many bytes of the message came before.
    pub(super) at: u16,
    /// Of the whole message.
    pub(super) length: u16,
}

impl Piece<'_> {
    pub(super) fn is_first(&self) -> bool {
        self.at == 0
    }

    pub(super) fn is_last(&self) -> bool {
        usize::from(self.at) + self.bytes.len() == usize::from(self.length)
    }
}

impl Position {
    /// Takes the next piece of a message from the front of `bytes`. `None`: they end before.
    pub(super) fn next<'a>(
        &mut self,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Piece<'a>>, BadLength> {
        while let Some((&first, rest)) = bytes.split_first() {
            match *self {
                Self::BeforeLength => {
                    *self = match first {
                        // Even the shortest message has a line feed.
                        0 => return Err(BadLength),
                        1..=0x7f => Self::message(first.into()),
                        0x80.. => Self::InLength(first & 0x7f),
                    };
                    *bytes = rest;
                }
                Self::InLength(low) => {
                    // Zero would have been left out, and a third byte is too long.
                    if !(1..=0x7f).contains(&first) {
                        return Err(BadLength);
                    }
                    *self = Self::message(u16::from(first) << 7 | u16::from(low));
                    *bytes = rest;
                }
                Self::InMessage { length, at } => {
                    let taken = bytes.len().min(usize::from(length - at));
                    let (piece, rest) = bytes.split_at(taken);
                    *bytes = rest;
                    // `taken` is not more than `length`, which has 16 bits.
                    let end = at + taken as u16;
                    *self = if end == length {
                        Self::BeforeLength
                    } else {
                        Self::InMessage { length, at: end }
                    };
                    return Ok(Some(Piece {
                        bytes: piece,
                        at,
                        length,
                    }));
                }
            }
        }
        Ok(None)
    }

    fn message(length: u16) -> Self {
        debug_assert!(length <= MAX_LENGTH);
        Self::InMessage { length, at: 0 }
    }
}
