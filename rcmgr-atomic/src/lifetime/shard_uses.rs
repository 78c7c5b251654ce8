//! The uses that the threads of one shard have of a shared value: see `shared.rs`.

use crate::sync::{AtomicU64, Ordering};
use crate::words::{ShardState, ShardUsesWord};

/// The uses that the threads of one shard have of a shared value.
#[derive(Debug)]
pub struct ShardUses(AtomicU64);

impl Default for ShardUses {
    fn default() -> Self {
        Self::new()
    }
}

impl ShardUses {
    pub fn new() -> Self {
        Self(AtomicU64::new(ShardUsesWord::CLOSED.0))
    }

    #[inline]
    fn load(&self) -> ShardUsesWord {
        // Relaxed: the next step decides.
        ShardUsesWord(self.0.load(Ordering::Relaxed))
    }

    /// Changes the word to the one that `next` returns for it. Returns the word after, or `None` if
    /// `next` returns none.
    #[inline]
    fn change(
        &self,
        next: impl Fn(ShardUsesWord) -> Option<ShardUsesWord>,
    ) -> Option<ShardUsesWord> {
        let mut word = self.load();
        while let Some(next) = next(word) {
            // AcqRel: actions under a use come before the shard is closed, and what the thread saw that
            // opened the shard before a use that begins in it.
            match self
                .0
                .compare_exchange_weak(word.0, next.0, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Some(next),
                Err(now) => word = ShardUsesWord(now),
            }
        }
        None
    }

    /// The number of uses.
    pub fn uses(&self) -> u64 {
        // Acquire: a thread that sees the end of a use sees what came before it.
        ShardUsesWord(self.0.load(Ordering::Acquire)).uses()
    }

    /// Adds a use, if one can begin.
    #[inline]
    pub fn join(&self) -> bool {
        self.change(ShardUsesWord::joined).is_some()
    }

    /// Whether [`open`](Self::open) would open it, a moment ago.
    pub fn is_free(&self) -> bool {
        self.load() == ShardUsesWord::CLOSED
    }

    /// Lets uses begin, if the shard is closed and holds nothing. The caller has counted it among the
    /// open shards.
    pub fn open(&self) -> bool {
        let open = |word| (word == ShardUsesWord::CLOSED).then_some(ShardUsesWord::OPEN);
        self.change(open).is_some()
    }

    /// Ends a use with its hold. If that closes the shard, the hold stays, and the result is false.
    #[inline]
    pub fn leave(&self) -> bool {
        let after = self.change(|word| {
            let next = word.less_use();
            let closes = next.state() != word.state();
            Some(if closes { next } else { next.less_hold() })
        });
        // The last use closes a draining shard; in a closed shard there is no use to end.
        after.is_none_or(|word| word.state() != ShardState::Closed)
    }

    /// Ends a use, which holds the value from now on. Returns whether that closed the shard.
    pub fn retire(&self) -> bool {
        let after = self.change(|word| Some(word.less_use()));
        after.is_some_and(|word| word.state() == ShardState::Closed)
    }

    /// Ends a hold. Returns whether it was the last one of a closed shard.
    pub fn release(&self) -> bool {
        self.change(|word| Some(word.less_hold())) == Some(ShardUsesWord::CLOSED)
    }

    /// No use can begin from now on. Returns whether that closed the shard: then the caller has a hold.
    pub fn drain(&self) -> bool {
        let after = self.change(ShardUsesWord::drained);
        after.is_some_and(|word| word.state() == ShardState::Closed)
    }
}
