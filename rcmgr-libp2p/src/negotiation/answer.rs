//! The answers that a dialer reads. They are compared with what may come, and not kept.

use super::messages::{BadLength, HEADER_MESSAGE, NOT_AVAILABLE, Piece, Position, is_name};
use super::proposal::Proposal;

/// An answer that changes something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It repeats the proposal.
    Confirmed,
    NotAvailable,
}

/// How far the remote has come in its answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answers {
    /// So many bytes have come, all of them as they are where the remote supports the proposal: its
    /// header, and the proposal.
    AsExpected(u16),
    Any(AnyAnswers),
}

impl Default for Answers {
    fn default() -> Self {
        Self::AsExpected(0)
    }
}

/// The header and then the proposal, where the remote has come so far: the message, and how much of it
/// has come.
#[inline]
fn expected(came: u16, proposal: Option<&Proposal>) -> (&[u8], usize) {
    let came = usize::from(came);
    match came.checked_sub(HEADER_MESSAGE.len()) {
        None => (HEADER_MESSAGE, came),
        Some(came) => (proposal.map_or(&[], Proposal::message), came),
    }
}

impl Answers {
    /// Takes the next answer that changes something from the front of `bytes`. Passes over all
    /// others. `None`: the bytes end before.
    #[inline]
    pub(super) fn next(
        &mut self,
        bytes: &mut &[u8],
        proposal: Option<&Proposal>,
    ) -> Result<Option<Answer>, BadLength> {
        if let Self::AsExpected(came) = self {
            let (message, begin) = expected(*came, proposal);
            let is_header = usize::from(*came) < HEADER_MESSAGE.len();
            if message[begin..].starts_with(bytes) {
                let is_last = begin + bytes.len() == message.len() && !bytes.is_empty();
                if !is_last || is_header {
                    // Not more than a message has.
                    *came += bytes.len() as u16;
                    *bytes = &[];
                    return Ok(None);
                }
                if proposal.is_some_and(|proposal| is_name(proposal.name())) {
                    *bytes = &[];
                    return Ok(Some(Answer::Confirmed));
                }
            }
        }
        self.next_of_any(bytes, proposal)
    }

    /// The same for bytes that are not as expected.
    #[cold]
    fn next_of_any(
        &mut self,
        bytes: &mut &[u8],
        proposal: Option<&Proposal>,
    ) -> Result<Option<Answer>, BadLength> {
        let name = proposal.map(Proposal::name);
        if let Self::AsExpected(came) = *self {
            // What has come changed nothing.
            let mut any = AnyAnswers::default();
            let (message, begin) = expected(came, proposal);
            let header = &HEADER_MESSAGE[..HEADER_MESSAGE.len().min(came.into())];
            let after_header = match header.len() < HEADER_MESSAGE.len() {
                true => &[],
                false => &message[..begin],
            };
            // The header confirms nothing, whatever is proposed.
            for (mut passed, proposed) in [(header, None), (after_header, name)] {
                any.next(&mut passed, proposed)?;
            }
            *self = Self::Any(any);
        }
        match self {
            Self::Any(any) => any.next(bytes, name),
            Self::AsExpected(_) => Ok(None),
        }
    }
}

/// How far the remote has come in answers of any kind, in pieces of any size.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AnyAnswers {
    position: Position,
    /// What the current answer may still be.
    may_be: MayBe,
}

#[derive(Debug, Clone, Copy, Default)]
struct MayBe {
    not_available: bool,
    confirmed: bool,
}

impl AnyAnswers {
    fn next(
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
