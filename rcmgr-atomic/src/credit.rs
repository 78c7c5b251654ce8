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
//! - What is charged on a node is never less than what is used on it, since credit is charged
//!   first.
//! - Before a node refuses memory, the credit of the paths through it is called in
//!   (`lending.rs`): the lanes are *drained* and what was in them is given back to the nodes. A
//!   drained lane takes nothing back until it is opened again, which it is not near a limit. So
//!   where many are refused there is nothing to be called in.

use crate::edition::Edition;
use crate::sync::{AtomicBool, AtomicU64, LANES, Ordering, lane};
use crate::word::{LaneState, LaneWord};

/// The credit of one path.
#[derive(Debug)]
pub struct Credit([Lane; LANES]);

/// A part of a path's credit. x86-64 fetches cache lines in pairs, so it takes two.
#[derive(Debug)]
#[repr(align(128))]
pub struct Lane {
    word: AtomicU64,
    /// Whether something was put back since this was asked last.
    used: AtomicBool,
    /// How often the lane is not to be filled yet.
    pause: AtomicU64,
}

/// A lane that could not be filled, or was called in, is left alone so many times: then calling in
/// is paid for by what it is called in from.
const PAUSE: u64 = 64;

impl Credit {
    /// Lanes of a path that does not lend yet.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Lane {
            word: AtomicU64::new(LaneWord::IDLE.0),
            used: AtomicBool::new(false),
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
    pub fn load(&self) -> LaneWord {
        // SeqCst: in one order with what nodes say is lent (`lending.rs`).
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

    /// Changes the word as long as `next` says to what. What it was.
    #[inline]
    fn change(&self, next: impl Fn(LaneWord) -> Option<LaneWord>) -> Option<LaneWord> {
        let mut word = self.load();
        while let Some(next) = next(word) {
            match self.swap(word, next) {
                Ok(()) => return Some(word),
                Err(now) => word = now,
            }
        }
        None
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

    /// It is not to be filled for a while.
    pub fn pause(&self) {
        self.pause.store(PAUSE, Ordering::Relaxed);
    }

    /// Takes `size` bytes of credit that is good under `edition`, if there is as much.
    #[inline]
    pub fn take(&self, edition: Edition, size: u64) -> bool {
        self.change(|word| word.less(edition.number(), size))
            .is_some()
    }

    /// Puts `size` bytes back, if that is not too much.
    #[inline]
    pub fn put(&self, size: u64) -> bool {
        let put = self.change(|word| word.more(size)).is_some();
        // Relaxed: it only tells which path is to lend.
        if put && !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        put
    }

    /// Opens it, drained, for at most `most` bytes, with `size` of them that are charged on the nodes
    /// under `edition`.
    pub fn open(&self, edition: Edition, most: u64, size: u64) -> bool {
        let open = LaneWord::open(edition.number(), most, size);
        self.swap(LaneWord::DRAINED, open).is_ok()
    }

    /// Adds `size` bytes, if it may hold them. All that it holds is charged on the nodes within their
    /// limits under `edition`.
    pub fn fill(&self, edition: Edition, size: u64) -> bool {
        let more = |word: LaneWord| {
            let sum = word.more(size)?;
            Some(LaneWord::open(edition.number(), sum.most(), sum.amount()))
        };
        self.change(more).is_some()
    }

    /// Takes all out, and lets nothing be put back until it is opened again. What it was, if open.
    pub fn drain(&self) -> Option<LaneWord> {
        self.change(|word| (word.state() == LaneState::Open).then_some(LaneWord::DRAINED))
    }

    /// The path lends from now on. Only under the lock of `lending.rs`.
    pub fn begin(&self) {
        let _ = self.swap(LaneWord::IDLE, LaneWord::DRAINED);
    }

    /// Takes all out; the path lends no more. What it was, if the path lent.
    pub fn end(&self) -> Option<LaneWord> {
        self.change(|word| (word.state() != LaneState::Idle).then_some(LaneWord::IDLE))
    }

    /// Whether it was used since this was asked last.
    pub fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}
