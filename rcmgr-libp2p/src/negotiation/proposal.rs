//! The protocol that a dialer has proposed.

use std::sync::Arc;

/// A proposal, as it was written: its length, the name, and a line feed. So the answer that confirms it
/// can be compared as it comes.
#[derive(Debug, Clone)]
pub(crate) struct Proposal(Arc<[u8]>);

impl Proposal {
    /// That of a message that was written as a whole.
    #[inline]
    pub(super) fn written(message: &[u8]) -> Self {
        Self(Arc::from(message))
    }

    /// That of a name of at most [`MAX_LENGTH`](super::messages::MAX_LENGTH) bytes with its line feed.
    pub(super) fn of(name: &[u8]) -> Self {
        let length = name.len() + 1;
        let low = (length & 0x7f) as u8;
        let length = match length >> 7 {
            0 => vec![low],
            high => vec![low | 0x80, high as u8],
        };
        Self([&*length, name, b"\n"].concat().into())
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn name(&self) -> &[u8] {
        // A length has one byte or two.
        let begin = match self.0[0] {
            ..=0x7f => 1,
            0x80.. => 2,
        };
        &self.0[begin..self.0.len() - 1]
    }
}
