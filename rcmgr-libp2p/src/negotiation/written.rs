//! The messages that this side writes.

use std::borrow::Cow;

use super::messages::{BadLength, HEADER, HEADER_MESSAGE, Position};

/// What multistream-select does not write.
#[derive(Debug)]
pub(super) struct NoNegotiation;

impl From<BadLength> for NoNegotiation {
    fn from(_: BadLength) -> Self {
        Self
    }
}

/// How far this side has come in its messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    position: Position,
    pub(super) has_header: bool,
    /// The part of the current message that the inner stream has taken, if it begins like a name.
    part: Option<Vec<u8>>,
}

impl Written {
    /// Takes the next message that begins like a name from the front of `bytes`, without its line
    /// feed. Passes over the header and all other messages. `None`: the bytes end before.
    pub(super) fn next_name<'a>(
        &mut self,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Cow<'a, [u8]>>, NoNegotiation> {
        // The header mostly comes as a whole.
        if !self.has_header
            && self.is_between_messages()
            && let Some(rest) = bytes.strip_prefix(HEADER_MESSAGE)
        {
            self.has_header = true;
            *bytes = rest;
        }
        while let Some(piece) = self.position.next(bytes)? {
            let begins_like_name = piece.bytes.first() == Some(&b'/');
            let message = match (self.part.take(), piece.is_first()) {
                (_, true) if begins_like_name => Some(Cow::Borrowed(piece.bytes)),
                (Some(mut part), false) => {
                    part.extend_from_slice(piece.bytes);
                    Some(Cow::Owned(part))
                }
                _ => None,
            };
            if !piece.is_last() {
                self.part = message.map(Cow::into_owned);
            } else if !self.has_header {
                if message.as_deref() != Some(HEADER) {
                    return Err(NoNegotiation);
                }
                self.has_header = true;
            } else if let Some(message) = message {
                return without_line_feed(message).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn is_between_messages(&self) -> bool {
        matches!(self.position, Position::BeforeLength)
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.part.as_ref().map_or(0, Vec::len)
    }
}

fn without_line_feed(message: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, NoNegotiation> {
    let text = match message {
        Cow::Borrowed(message) => message.strip_suffix(b"\n").map(Cow::Borrowed),
        Cow::Owned(mut message) => (message.pop() == Some(b'\n')).then_some(Cow::Owned(message)),
    };
    text.ok_or(NoNegotiation)
}
