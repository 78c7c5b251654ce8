//! Prepaid connections of a node: the node is charged with them, and no leaf uses them yet.
//!
//! Each new connection is charged on the transient scope and on system. When its peer is set it
//! leaves the transient scope, and at its end it leaves system. Threads that open connections
//! contend for the counters of these two nodes, also where each connection has a peer of its own,
//! whose path is not charged often enough to hold [credit](crate::path::Credit). So a busy node
//! holds some connections in advance, with file descriptors, in a stock for each shard of threads.
//! A new connection takes from the stock of its thread, and one that leaves the node puts back into
//! it.
//!
//! There may be millions of nodes that are collected, such as those of peers, and a stock for each
//! shard takes memory. So of these, only nodes that threads contend for have stocks, and until they
//! are collected. Their credit ends with them: no other node is charged with it.
//!
//! It is exact for the same reasons as the credit of a path: a stock is filled only under limits
//! that leave room for it, and while the node is over none of its limits; is valid only under that version
//! of the limits; and is drained before the node refuses a connection.

use rcmgr_core::{Direction, UsesFd};

use crate::counters::{PerThread, Transfers};
use crate::limits::LimitsVersion;
use crate::sync::{AtomicU64, OnceBox, Ordering, allocated};
use crate::words::{ConnsStockWord, ConnsWord};

/// The prepaid connections of a node.
#[derive(Debug)]
pub struct ConnsCredit {
    /// Made when the node begins to lend.
    stocks: OnceBox<ConnsStocks>,
    /// How often the node was charged before that, and how often such a charge met another.
    warmth: AtomicU64,
}

/// The stocks of a node.
#[derive(Debug)]
pub struct ConnsStocks {
    stocks: PerThread<ConnsStock>,
    /// The capacity of all open stocks: an upper bound of the credit in each direction, and of file
    /// descriptors. It is raised before a stock is opened, and lowered after the credit of a closed
    /// one was given back.
    bound: AtomicU64,
    transfers: Transfers,
}

/// The prepaid connections of a node for one shard of threads.
#[derive(Debug)]
pub struct ConnsStock {
    word: AtomicU64,
    /// While this is above zero, each request to fill the stock is turned down and lowers it by
    /// one.
    back_off: AtomicU64,
}

/// A stock that could not be filled, or was recalled, turns down this many requests to fill it. So
/// recalling is paid for by the connections in between.
const BACK_OFF: u64 = 64;

impl ConnsCredit {
    /// The credit of a node that does not lend yet.
    pub fn none() -> Self {
        Self {
            stocks: OnceBox::new(),
            warmth: AtomicU64::new(0),
        }
    }

    /// The stocks, once the node lends.
    #[inline]
    pub fn stocks(&self) -> Option<&ConnsStocks> {
        self.stocks.get()
    }

    /// The stock that this thread uses, once the node lends.
    #[inline]
    pub fn stock(&self) -> Option<&ConnsStock> {
        self.stocks().map(ConnsStocks::of_this_thread)
    }

    /// How often the node was charged before it lent, and how often such a charge met another. (Only
    /// the second is counted for a node that may be collected.)
    #[inline]
    pub fn warmth(&self) -> u64 {
        // Relaxed, here and below: a throttle may be approximate.
        self.warmth.load(Ordering::Relaxed)
    }

    /// Counts a charge, or that it met another.
    pub fn warm_up(&self) {
        self.warmth.fetch_add(1, Ordering::Relaxed);
    }

    /// The stocks of a node that lends from now on.
    pub fn begin(&self) -> &ConnsStocks {
        self.stocks.get_or_init(|| {
            let stocks = Box::new(ConnsStocks::drained());
            allocated(&*stocks);
            stocks
        })
    }

    /// An upper bound of the credit in each direction, and of file descriptors.
    pub fn bound(&self) -> u64 {
        // SeqCst, here and below: in one order with the words of the stocks.
        let bound = |stocks: &ConnsStocks| stocks.bound.load(Ordering::SeqCst);
        self.stocks().map_or(0, bound)
    }
}

impl ConnsStocks {
    fn drained() -> Self {
        let stock = || ConnsStock {
            word: AtomicU64::new(ConnsStockWord::DRAINED.0),
            back_off: AtomicU64::new(0),
        };
        Self {
            stocks: PerThread::new(stock),
            bound: AtomicU64::new(0),
            transfers: Transfers::none(),
        }
    }

    /// The stock that this thread uses.
    #[inline]
    pub fn of_this_thread(&self) -> &ConnsStock {
        self.stocks.of_this_thread()
    }

    pub fn iter(&self) -> impl Iterator<Item = &ConnsStock> {
        self.stocks.iter()
    }

    /// Called before a stock of this capacity is opened.
    pub fn raise_bound(&self, capacity: u64) {
        // SeqCst, here and below: as in `ConnsCredit::bound`.
        self.bound.fetch_add(capacity, Ordering::SeqCst);
    }

    /// Called after a stock of this capacity was drained and its credit given back.
    pub fn lower_bound(&self, capacity: u64) {
        self.bound.fetch_sub(capacity, Ordering::SeqCst);
    }

    /// The transfers of credit between the counter of the node and its stocks.
    pub fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// All credit.
    pub fn amount(&self) -> ConnsWord {
        // No count overflows: those of one stock are below 2^9.
        let amounts = self.iter().map(|stock| stock.load().amount().0);
        ConnsWord(amounts.sum())
    }
}

impl ConnsStock {
    #[inline]
    pub fn load(&self) -> ConnsStockWord {
        // SeqCst: in one order with the bound.
        ConnsStockWord(self.word.load(Ordering::SeqCst))
    }

    #[inline]
    fn swap(&self, current: ConnsStockWord, next: ConnsStockWord) -> Result<(), ConnsStockWord> {
        // SeqCst: as in `load`, and in one order with the version of the limits, as a charge of the
        // node is. It is Release, too: a thread that sees credit taken or put back sees the leaf
        // that holds it.
        self.word
            .compare_exchange(current.0, next.0, Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
            .map_err(ConnsStockWord)
    }

    /// Changes the word to the one that `next` returns for it. Returns the word before, or `None`
    /// if `next` returns none.
    #[inline]
    fn change(
        &self,
        next: impl Fn(ConnsStockWord) -> Option<ConnsStockWord>,
    ) -> Option<ConnsStockWord> {
        let mut word = self.load();
        while let Some(next) = next(word) {
            match self.swap(word, next) {
                Ok(()) => return Some(word),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Whether there were a connection, and a file descriptor if it uses one, that are valid under
    /// `version`, a moment ago.
    #[inline]
    pub fn has(&self, version: LimitsVersion, direction: Direction, uses_fd: UsesFd) -> bool {
        self.load().has(version.number(), direction, uses_fd)
    }

    /// Takes a connection, and a file descriptor if it uses one, that are valid under `version`, if
    /// there are both.
    #[inline]
    pub fn take(&self, version: LimitsVersion, direction: Direction, uses_fd: UsesFd) -> bool {
        self.change(|word| word.less(version.number(), direction, uses_fd))
            .is_some()
    }

    /// Puts a connection back, and its file descriptor if it uses one, if there is room for both.
    #[inline]
    pub fn put(&self, direction: Direction, uses_fd: UsesFd) -> bool {
        self.change(|word| word.more(direction, uses_fd)).is_some()
    }

    /// Opens a drained stock with this capacity, and with `amount` of credit that the node is
    /// charged with under `version`.
    pub fn open(&self, version: LimitsVersion, capacity: u64, amount: ConnsWord) -> bool {
        let open = ConnsStockWord::open(version.number(), capacity, amount);
        self.swap(ConnsStockWord::DRAINED, open).is_ok()
    }

    /// Adds `batch`, if there is room. The node is charged with all that the stock holds, within its
    /// limits under `version`.
    pub fn fill(&self, version: LimitsVersion, batch: ConnsWord) -> bool {
        self.change(|word| word.filled(version.number(), batch))
            .is_some()
    }

    /// Takes all credit out. Nothing can be put back until the stock is opened again. Returns the
    /// word before, if it was open.
    pub fn drain(&self) -> Option<ConnsStockWord> {
        self.change(|word| word.is_open().then_some(ConnsStockWord::DRAINED))
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
}
