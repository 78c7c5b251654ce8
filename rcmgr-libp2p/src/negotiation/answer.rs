//! The answers that a dialer reads. They are compared with what may come, and not kept.

use super::messages::{BadLength, NOT_AVAILABLE, Piece, Position, is_name};

/// An answer that changes something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It repeats the proposal.
    Confirmed,
    NotAvailable,
}

/// How far the remote has come in its answers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answers {
    position: Position,
    /// What the current answer may still be.
    may_be: MayBe,
}

#[derive(Debug, Clone, Copy, Default)]
struct MayBe {
    not_available: bool,
    confirmed: bool,
}

impl Answers {
    /// Takes the next answer that changes something from the front of `bytes`. Passes over all
    /// others. `None`: the bytes end before.
    pub(super) fn next(
        &mut self,
        bytes: &mut &[u8],
        proposal: Option<&[u8]>,
    ) -> Result<Option<Answer>, BadLength> {
        while let Some(piece) = self.position.next(bytes)? {
            // 1. Most answers come as a whole.
            if piece.is_first() && piece.is_last() {
                if piece.bytes == NOT_AVAILABLE {
                    return Ok(Some(Answer::NotAvailable));
                }
                let text = piece.bytes.strip_suffix(b"\n");
                if text.is_some() && text == proposal && text.is_some_and(is_name) {
                    return Ok(Some(Answer::Confirmed));
                }
                continue;
            }
            // 2. Compare a part with what may come.
            let may_be = &mut self.may_be;
            if piece.is_first() {
                *may_be = MayBe {
                    not_available: true,
                    confirmed: true,
                };
            }
            may_be.not_available &= continues(&piece, NOT_AVAILABLE, b"");
            may_be.confirmed &= proposal.is_some_and(|name| continues(&piece, name, b"\n"));
            if !piece.is_last() {
                continue;
            }
            if may_be.not_available {
                return Ok(Some(Answer::NotAvailable));
            }
            if may_be.confirmed && proposal.is_some_and(is_name) {
                return Ok(Some(Answer::Confirmed));
            }
        }
        Ok(None)
    }
}

/// Whether the message of this piece has the length of `text` and `end` together, and the piece
/// has their bytes.
fn continues(piece: &Piece<'_>, text: &[u8], end: &[u8]) -> bool {
    if usize::from(piece.length) != text.len() + end.len() {
        return false;
    }
    let at = usize::from(piece.at);
    // The part of the piece that belongs to the text. The rest belongs to the end.
    let in_text = text.len().saturating_sub(at).min(piece.bytes.len());
    let (of_text, of_end) = piece.bytes.split_at(in_text);
    let end_at = at.saturating_sub(text.len());
    text[at.min(text.len())..].starts_with(of_text) && end[end_at..].starts_with(of_end)
}
