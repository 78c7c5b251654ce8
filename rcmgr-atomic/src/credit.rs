//! Credit: memory and streams that are charged on all nodes of a path already and that no leaf uses
//! yet.
//!
//! To charge six nodes for every reservation is slow, and when threads share the nodes it is worse:
//! they fight for the same cache lines. So a path that is used a lot holds some credit. A
//! reservation takes from it, a release puts it back, and the nodes are touched once a batch. The
//! credit lies in *lanes*, each on cache lines of its own: threads use different ones. A lane has a
//! *stock* of each kind.
//!
//! Why it is exact:
//!
//! - A stock is filled only while each node is well below its limit, and is good only under the
//!   edition of the limits that it was filled under. From then on each node's charge, credit
//!   included, stays within that edition's limits; who takes credit only turns it into usage. So
//!   it needs no look at the nodes. (Priorities below the highest have less than the limit: they
//!   charge the nodes.)
//! - What is charged on a node is never less than what is used on it, since credit is charged
//!   first.
//! - Before a node refuses, the credit of the paths through it is called in (`lending.rs`): the
//!   stocks are *drained* and what was in them is given back to the nodes. A drained stock takes
//!   nothing back until it is opened again, which it is not near a limit. So where many are
//!   refused there is nothing to be called in.

use rcmgr_core::{Direction, Resource};

use crate::edition::Edition;
use crate::sync::{AtomicBool, AtomicU64, LANES, Ordering, lane};
use crate::word::{StockState, StockWord};

/// The credit of one path.
#[derive(Debug)]
pub struct Credit([Lane; LANES]);

/// A part of a path's credit. x86-64 fetches cache lines in pairs, so it takes two.
#[derive(Debug)]
#[repr(align(128))]
struct Lane([Stock; Kind::ALL.len()]);

/// What of one kind there is in a lane.
#[derive(Debug)]
pub struct Stock {
    word: AtomicU64,
    /// Whether something was put back since this was asked last.
    used: AtomicBool,
    /// How often the stock is not to be filled yet.
    pause: AtomicU64,
}

/// What there is credit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In bytes.
    Memory,
    Streams(Direction),
}

impl Kind {
    pub const ALL: [Self; 3] = [
        Self::Memory,
        Self::Streams(Direction::Inbound),
        Self::Streams(Direction::Outbound),
    ];

    /// Its place among all of them.
    #[inline]
    pub fn index(self) -> usize {
        match self {
            Self::Memory => 0,
            Self::Streams(direction) => 1 + direction as usize,
        }
    }

    /// What uses this resource.
    pub fn of(resource: Resource) -> &'static [Self] {
        let [memory, inbound, _] = &Self::ALL;
        match resource {
            Resource::Memory => std::slice::from_ref(memory),
            Resource::StreamsInbound => std::slice::from_ref(inbound),
            Resource::StreamsOutbound => &Self::ALL[2..],
            Resource::Streams => &Self::ALL[1..],
            _ => &[],
        }
    }
}

/// A stock that could not be filled, or was called in, is left alone so many times: then calling in
/// is paid for by what it is called in from.
const PAUSE: u64 = 64;

impl Credit {
    /// Lanes of a path that does not lend yet.
    pub fn new() -> Self {
        let stock = || Stock {
            word: AtomicU64::new(StockWord::IDLE.0),
            used: AtomicBool::new(false),
            pause: AtomicU64::new(0),
        };
        Self(std::array::from_fn(|_| {
            Lane(std::array::from_fn(|_| stock()))
        }))
    }

    /// The stock that this thread uses.
    #[inline]
    pub fn stock(&self, kind: Kind) -> &Stock {
        &self.0[lane()].0[kind.index()]
    }

    pub fn stocks(&self, kind: Kind) -> impl Iterator<Item = &Stock> {
        self.0.iter().map(move |lane| &lane.0[kind.index()])
    }

    pub fn all_stocks(&self) -> impl Iterator<Item = &Stock> {
        self.0.iter().flat_map(|lane| &lane.0)
    }

    /// All of a kind that can be taken now.
    pub fn amount(&self, kind: Kind) -> u64 {
        self.stocks(kind).map(|stock| stock.load().amount()).sum()
    }
}

impl Stock {
    #[inline]
    pub fn load(&self) -> StockWord {
        // SeqCst: in one order with what nodes say is lent (`lending.rs`).
        StockWord(self.word.load(Ordering::SeqCst))
    }

    #[inline]
    fn swap(&self, current: StockWord, next: StockWord) -> Result<(), StockWord> {
        // SeqCst: as in `load`. Release: who sees credit gone or back sees in which leaf it is.
        self.word
            .compare_exchange(current.0, next.0, Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
            .map_err(StockWord)
    }

    /// Changes the word as long as `next` says to what. What it was.
    #[inline]
    fn change(&self, next: impl Fn(StockWord) -> Option<StockWord>) -> Option<StockWord> {
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

    /// Takes `amount` of credit that is good under `edition`, if there is as much.
    #[inline]
    pub fn take(&self, edition: Edition, amount: u64) -> bool {
        self.change(|word| word.less(edition.number(), amount))
            .is_some()
    }

    /// Puts `amount` back, if that is not too much.
    #[inline]
    pub fn put(&self, amount: u64) -> bool {
        let put = self.change(|word| word.more(amount)).is_some();
        // Relaxed: it only tells which path is to lend.
        if put && !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        put
    }

    /// Opens it, drained, for at most `most`, with `amount` of it that is charged on the nodes under
    /// `edition`.
    pub fn open(&self, edition: Edition, most: u64, amount: u64) -> bool {
        let open = StockWord::open(edition.number(), most, amount);
        self.swap(StockWord::DRAINED, open).is_ok()
    }

    /// Adds `amount`, if it may hold that. All that it holds is charged on the nodes within their
    /// limits under `edition`.
    pub fn fill(&self, edition: Edition, amount: u64) -> bool {
        let more = |word: StockWord| {
            let sum = word.more(amount)?;
            Some(StockWord::open(edition.number(), sum.most(), sum.amount()))
        };
        self.change(more).is_some()
    }

    /// Takes all out, and lets nothing be put back until it is opened again. What it was, if open.
    pub fn drain(&self) -> Option<StockWord> {
        self.change(|word| (word.state() == StockState::Open).then_some(StockWord::DRAINED))
    }

    /// The path lends from now on. Only under the lock of `lending.rs`.
    pub fn begin(&self) {
        let _ = self.swap(StockWord::IDLE, StockWord::DRAINED);
    }

    /// Takes all out; the path lends no more. What it was, if the path lent.
    pub fn end(&self) -> Option<StockWord> {
        self.change(|word| (word.state() != StockState::Idle).then_some(StockWord::IDLE))
    }

    /// Whether it was used since this was asked last.
    pub fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}
