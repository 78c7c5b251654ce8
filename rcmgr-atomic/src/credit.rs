//! Credit: memory that is charged on all nodes of a path already and that no leaf uses yet.
//!
//! To charge six nodes for every reservation is slow, and when threads share the nodes it is worse:
//! they fight for the same cache lines. So a path that is used a lot holds some credit. A
//! reservation takes from it, a release puts it back, and the nodes are touched once a batch.
//! The credit lies in *lanes*, each on a cache line of its own: threads use different ones.
//!
//! Why it is exact:
//!
//! - A lane is filled only while each node is well below its limit, and is good only under the
//!   edition of the limits that it was filled under. From then on each node's charge, credit
//!   included, stays within that edition's limits; who takes credit only turns it into usage. So
//!   it needs no look at the nodes. (Priorities below the highest have less than the limit: they
//!   charge the nodes.)
//! - What a node says is never less than what is used on it, since credit is charged first.
//! - Before a node refuses memory, the credit of the paths through it is called in
//!   (`lending.rs`): the lanes are *drained* and what was in them is given back to the nodes. A
//!   drained lane takes nothing back until it is filled again, which it is not near a limit. So
//!   where many are refused there is nothing to be called in.

use crate::edition::Edition;
use crate::sync::{AtomicU64, LANES, Ordering, lane};
use crate::word::{LaneState, LaneWord};

/// The credit of one path.
#[derive(Debug)]
pub struct Credit([Lane; LANES]);

/// A part of a path's credit. x86-64 fetches cache lines in pairs, so it takes two.
#[derive(Debug)]
#[repr(align(128))]
pub struct Lane {
    word: AtomicU64,
    /// The most that is put back into it, in bytes.
    most: AtomicU64,
    /// What the word was when it was last looked at whether the lane is used.
    seen: AtomicU64,
    /// How often the lane is not to be filled yet.
    pause: AtomicU64,
}

/// Where a limit is near, filling a lane is tried once in so many times.
const PAUSE: u64 = 32;

impl Credit {
    /// Lanes of a path that does not lend yet.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Lane {
            word: AtomicU64::new(LaneWord::IDLE.0),
            most: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            pause: AtomicU64::new(0),
        }))
    }

    /// The lane that this thread uses.
    #[inline]
    pub fn lane(&self) -> &Lane {
        &self.0[lane()]
    }

    pub fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.0.iter()
    }

    /// All that can be taken now, in bytes.
    pub fn amount(&self) -> u64 {
        self.lanes().map(|lane| lane.load().amount()).sum()
    }
}

impl Lane {
    #[inline]
    fn load(&self) -> LaneWord {
        // SeqCst: who looks for credit to be called in sees what was filled before (`lending.rs`).
        LaneWord(self.word.load(Ordering::SeqCst))
    }

    #[inline]
    fn swap(&self, current: LaneWord, next: LaneWord) -> Result<(), LaneWord> {
        // SeqCst: as in `load`. Release: who sees credit gone or back sees in which leaf it is.
        self.word
            .compare_exchange(current.0, next.0, Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
            .map_err(LaneWord)
    }

    /// Whether it is not to be filled yet.
    pub fn is_paused(&self) -> bool {
        // Relaxed: it is only to be seldom.
        let pause = self.pause.load(Ordering::Relaxed);
        if pause > 0 {
            self.pause.store(pause - 1, Ordering::Relaxed);
        }
        pause > 0
    }

    /// There was no room to fill it.
    pub fn pause(&self) {
        self.pause.store(PAUSE, Ordering::Relaxed);
    }

    /// Takes `size` bytes of credit that is good under `edition`, if there is as much.
    #[inline]
    pub fn take(&self, edition: Edition, size: u64) -> bool {
        let mut word = self.load();
        while let Some(next) = word.less(edition.number(), size) {
            match self.swap(word, next) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Puts `size` bytes back, if that is not too much.
    #[inline]
    pub fn put(&self, size: u64) -> bool {
        // Relaxed: any amount that it once was is as good.
        let most = self.most.load(Ordering::Relaxed);
        let mut word = self.load();
        while let Some(next) = word.more(size, most) {
            match self.swap(word, next) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Adds `size` bytes that are charged on the nodes under `edition`, and keeps up to `most` from
    /// now on; unless the path does not lend any more.
    pub fn fill(&self, edition: Edition, size: u64, most: u64) -> bool {
        self.most.store(most, Ordering::Relaxed);
        let mut word = self.load();
        while word.state() != LaneState::Idle {
            let sum = word.amount() + size;
            if sum > LaneWord::MAX_AMOUNT {
                return false;
            }
            match self.swap(word, LaneWord::open(edition.number(), sum)) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes all out, and lets nothing be put back until it is filled again.
    pub fn drain(&self) -> u64 {
        self.end_as(LaneWord::DRAINED)
    }

    /// The path lends from now on. Only under the lock of `lending.rs`.
    pub fn begin(&self) {
        let _ = self.swap(LaneWord::IDLE, LaneWord::DRAINED);
    }

    /// Takes all out; the path lends no more. Only under the lock of `lending.rs`.
    pub fn end(&self) -> u64 {
        self.end_as(LaneWord::IDLE)
    }

    fn end_as(&self, end: LaneWord) -> u64 {
        let mut word = self.load();
        while word.state() != LaneState::Idle && word != end {
            match self.swap(word, end) {
                Ok(()) => return word.amount(),
                Err(now) => word = now,
            }
        }
        0
    }

    /// Whether it was used since this was asked last.
    pub fn was_used(&self) -> bool {
        let word = self.load().0;
        self.seen.swap(word, Ordering::Relaxed) != word
    }
}
