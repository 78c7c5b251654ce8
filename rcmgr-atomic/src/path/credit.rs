//! Prepaid credit: memory and streams that are charged on all nodes of a path and that no leaf uses
//! yet.
//!
//! Charging six nodes for every reservation is slow. Threads that share the nodes make it slower:
//! they contend for the same cache lines. So a busy path holds some credit. A reservation takes
//! from the credit, a release puts it back, and the nodes are charged once a batch. The credit has
//! a shard for each thread, and each shard has a *stock* of each kind.
//!
//! Why it is exact:
//!
//! - A stock is valid only under the version of the limits that it was filled under. Its credit was
//!   charged on each node as any other charge. From then on the charge of each node, credit
//!   included, stays within the limits of that version. A thread that takes credit only turns it
//!   into usage, so it need not check the nodes. A priority below the highest may use less than
//!   the limit: such a request compares each node with its part of the limit, after it took the
//!   credit. From then on the usage of each node includes the request.
//! - A node that is over a limit takes no leaf in that moves there. Credit of streams is filled only while
//!   no node of the path is over one, and is valid under that version only. So a leaf that it pays for need
//!   not ask the nodes.
//! - The charge of a node is never less than the usage of it, because credit is charged first.
//! - Before a node refuses, the credit of the paths through it is recalled (`lending/recall.rs`):
//!   the stocks are *drained*, and their credit is given back to the nodes. A drained stock takes
//!   nothing back until it is opened again, and near a limit it is not opened. So where many are
//!   refused there is nothing to recall.

use crate::counters::{Kind, PerThread};
use crate::lifetime::ShardUses;
use crate::limits::LimitsVersion;
use crate::sync::{AtomicBool, AtomicU32, GuessedWord, Ordering};
use crate::words::{StockState, StockWord};

/// The credit of one path: in each shard a stock of each kind.
#[derive(Debug)]
pub struct Credit {
    shards: PerThread<Shard>,
    /// Whether the stocks were closed since the path began to lend. Written under the lock on the list of
    /// lenders, or when the path is collected and never lends again.
    were_closed: AtomicBool,
}

#[derive(Debug)]
struct Shard {
    stocks: [Stock; Kind::ALL.len()],
    /// The uses of the path: they are counted beside its credit, because both are taken and given back by
    /// the same threads. (A path of connections may count uses here, and never lend.)
    uses: ShardUses,
}

/// The credit of one kind in one shard.
#[derive(Debug)]
pub struct Stock {
    word: GuessedWord,
    /// Whether something was put back since [`was_used`](Self::was_used) was last called.
    used: AtomicBool,
    /// While this is above zero, each request to fill the stock is turned down and lowers it by
    /// one.
    back_off: AtomicU32,
}

/// A stock that could not be filled, or was recalled, turns down this many requests to fill it. So
/// recalling is paid for by the reservations in between.
const BACK_OFF: u32 = 64;

impl Credit {
    /// The credit of a path that does not lend yet.
    pub fn new() -> Self {
        let stock = || Stock {
            word: GuessedWord::new(StockWord::DRAINED.0),
            used: AtomicBool::new(false),
            back_off: AtomicU32::new(0),
        };
        Self {
            shards: PerThread::new(|| Shard {
                stocks: std::array::from_fn(|_| stock()),
                uses: ShardUses::new(),
            }),
            were_closed: AtomicBool::new(false),
        }
    }

    /// The stock that this thread uses.
    #[inline]
    pub fn stock(&self, kind: Kind) -> &Stock {
        &self.shards.of_this_thread().stocks[kind.index()]
    }

    /// The stock of the shard of this number, if there is one.
    #[inline(always)]
    pub fn stock_in(&self, shard: usize, kind: Kind) -> Option<&Stock> {
        let shard = self.shards.get(shard)?;
        Some(&shard.stocks[kind.index()])
    }

    pub fn stocks(&self, kind: Kind) -> impl Iterator<Item = &Stock> {
        self.shards
            .iter()
            .map(move |shard| &shard.stocks[kind.index()])
    }

    pub fn all_stocks(&self) -> impl Iterator<Item = &Stock> {
        self.shards.iter().flat_map(|shard| &shard.stocks)
    }

    /// The uses of the path in the shard of this thread, and the number of that.
    #[inline]
    pub fn uses_of_this_thread(&self) -> (usize, &ShardUses) {
        let (number, shard) = self.shards.numbered_of_this_thread();
        (number, &shard.uses)
    }

    /// The uses of the path in the shard of this number, if there is one.
    #[inline]
    pub fn uses(&self, shard: usize) -> Option<&ShardUses> {
        self.shards.get(shard).map(|shard| &shard.uses)
    }

    /// Lets the stocks be opened: the path begins to lend. The caller holds the lock on the list of lenders.
    ///
    /// New stocks may be opened already: nothing asks for it before the path lends. With a shard for each
    /// core of a large machine, a change of them all would take longer than all else that a path does
    /// when it begins.
    pub fn begin(&self) {
        // Relaxed: the lock orders it.
        if self.were_closed.load(Ordering::Relaxed) {
            self.were_closed.store(false, Ordering::Relaxed);
            self.all_stocks().for_each(Stock::begin);
        }
    }

    /// Notes that the stocks are about to be closed: the path has stopped lending.
    pub fn note_end(&self) {
        // Relaxed: as in `begin`.
        self.were_closed.store(true, Ordering::Relaxed);
    }

    /// All credit of a kind that can be taken now.
    pub fn amount(&self, kind: Kind) -> u64 {
        self.stocks(kind).map(|stock| stock.load().amount()).sum()
    }
}

impl Stock {
    #[inline]
    pub fn load(&self) -> StockWord {
        // SeqCst: in one order with the credit bounds of the nodes.
        StockWord(self.word.load(Ordering::SeqCst))
    }

    /// What the word probably is: see [`GuessedWord`].
    #[inline]
    pub fn guess(&self) -> StockWord {
        StockWord(self.word.guess())
    }

    #[inline]
    fn swap(&self, current: StockWord, next: StockWord) -> Result<(), StockWord> {
        // SeqCst: as in `load`. It is Release, too: a thread that sees credit taken or put back
        // sees the leaf that holds it.
        self.word.swap(current.0, next.0).map_err(StockWord)
    }

    /// The same for a guess. Returns whether it was right.
    #[inline]
    fn swap_guessed(&self, guess: StockWord, next: StockWord) -> bool {
        // SeqCst and Release: as in `swap`.
        self.word.swap_and_guess(guess.0, next.0).is_ok()
    }

    /// Changes the word to the one that `next` returns for it. Returns the word before, or `None`
    /// if `next` returns none.
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

    /// Whether a request to fill the stock is turned down.
    pub fn backs_off(&self) -> bool {
        // Relaxed, here and below: a throttle may be approximate.
        let times = self.back_off.load(Ordering::Relaxed);
        if times > 0 {
            self.back_off.store(times - 1, Ordering::Relaxed);
        }
        times > 0
    }

    /// Turns down requests to fill the stock for a while.
    pub fn set_back_off(&self) {
        self.back_off.store(BACK_OFF, Ordering::Relaxed);
    }

    /// Takes `amount` of credit that is valid under `version`, if there is that much.
    #[inline]
    pub fn take(&self, version: LimitsVersion, amount: u64) -> bool {
        self.change(|word| word.less(version.number(), amount))
            .is_some()
    }

    /// The same, if `guess` is right.
    #[inline]
    pub fn take_guessed(&self, guess: StockWord, version: LimitsVersion, amount: u64) -> bool {
        let next = guess.less(version.number(), amount);
        next.is_some_and(|next| self.swap_guessed(guess, next))
    }

    /// Puts `amount` back, if there is room.
    #[inline]
    pub fn put(&self, amount: u64) -> bool {
        let put = self.change(|word| word.more(amount)).is_some();
        self.note_use(put);
        put
    }

    /// The same, if `guess` is right.
    #[inline]
    pub fn put_guessed(&self, guess: StockWord, amount: u64) -> bool {
        let next = guess.more(amount);
        let put = next.is_some_and(|next| self.swap_guessed(guess, next));
        self.note_use(put);
        put
    }

    #[inline]
    fn note_use(&self, put: bool) {
        // Relaxed: a hint which paths should lend.
        if put && !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Opens a drained stock with this capacity, and with `amount` of credit that is charged on the
    /// nodes under `version`.
    pub fn open(&self, version: LimitsVersion, capacity: u64, amount: u64) -> bool {
        let open = StockWord::open(version.number(), capacity, amount);
        self.swap(StockWord::DRAINED, open).is_ok()
    }

    /// Adds `amount`, if there is room. All that the stock holds is charged on the nodes, within
    /// their limits under `version`.
    pub fn fill(&self, version: LimitsVersion, amount: u64) -> bool {
        let more = |word: StockWord| {
            let sum = word.more(amount)?;
            Some(StockWord::open(
                version.number(),
                sum.capacity(),
                sum.amount(),
            ))
        };
        self.change(more).is_some()
    }

    /// Takes all credit out. Nothing can be put back until the stock is opened again. Returns the
    /// word before, if it was open.
    pub fn drain(&self) -> Option<StockWord> {
        self.change(|word| (word.state() == StockState::Open).then_some(StockWord::DRAINED))
    }

    /// Lets a closed stock be opened.
    fn begin(&self) {
        let _ = self.swap(StockWord::IDLE, StockWord::DRAINED);
    }

    /// Takes all credit out and closes the stock: the path stops lending. Returns the word before,
    /// if there was something to close.
    pub fn end(&self) -> Option<StockWord> {
        self.change(|word| (word.state() != StockState::Idle).then_some(StockWord::IDLE))
    }

    /// Whether the stock was used since this was last called.
    pub fn was_used(&self) -> bool {
        // Relaxed: as in `put`.
        self.used.swap(false, Ordering::Relaxed)
    }
}
