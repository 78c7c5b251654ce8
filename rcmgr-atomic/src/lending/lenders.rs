//! Which paths lend.

use super::options::CreditOptions;
use crate::counters::Kind;
use crate::lifetime::Shared;
use crate::path::{Credit, Home, LendState, Path, Stock};
use crate::sync::{AtomicU64, Ordering, Published, RareLock, fence};
use crate::words::StockWord;

/// A path that could not lend, or did not use its credit, waits this many times as long as a new
/// one.
const WARM_UP_AFTER_FAILURE: u64 = 16;

/// The paths that lend.
pub struct Lending<H: Home> {
    options: CreditOptions,
    lenders: Published<Vec<Shared<Path<H>>>>,
    /// Held by the thread that changes the list. No thread waits for it.
    changing: RareLock,
    /// Seqlock-style counters around each transfer of credit between nodes and stocks: started,
    /// finished.
    started: AtomicU64,
    finished: AtomicU64,
}

impl<H: Home> Lending<H> {
    pub fn new(options: CreditOptions) -> Self {
        Self {
            options,
            lenders: Published::new(Vec::new()),
            changing: RareLock::default(),
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        }
    }

    /// The state of a new path.
    pub fn new_lend_state(&self) -> LendState {
        LendState::after(self.options.warm)
    }

    /// The most credit of a kind in a stock.
    pub(super) fn most(&self, kind: Kind) -> u64 {
        let most = match kind {
            Kind::Memory => self.options.most_memory,
            Kind::Streams(_) => self.options.most_streams,
        };
        most.min(StockWord::MAX_CAPACITY)
    }

    /// The path lends from now on, if there is room for one more lender.
    pub(super) fn begin(&self, path: &Shared<Path<H>>) {
        if let Some(one_at_a_time) = self.changing.try_lock() {
            self.begin_alone(path);
            drop(one_at_a_time);
            self.tidy();
        }
    }

    fn begin_alone(&self, path: &Shared<Path<H>>) {
        if !path.lend_state().may_begin() {
            return;
        }
        let mut lenders = self.remaining_lenders();
        let wait = WARM_UP_AFTER_FAILURE * self.options.warm;
        // With the list full, lenders that were not used since the last time make room.
        if lenders.len() >= self.options.most_lenders {
            lenders.retain(|lender| {
                let stays = was_used(lender) || !lender.lend_state().end(wait);
                if !stays {
                    self.end(lender);
                }
                stays
            });
        }
        if lenders.len() >= self.options.most_lenders {
            return path.lend_state().postpone(wait);
        }
        // In the list first: from here on the credit of the path can be recalled. Then it may be
        // filled.
        lenders.push(path.clone());
        self.lenders.set(lenders);
        path.credit_or_new().all_stocks().for_each(Stock::begin);
        // This fails if the path was collected meanwhile: `tidy` takes it off the list.
        path.lend_state().begin();
    }

    /// Takes paths off the list that stopped lending. If another thread holds the lock, that thread
    /// scans again after unlocking.
    fn tidy(&self) {
        loop {
            // SeqCst fence: between the end of a path, or the unlock, and the check of the other.
            // Of a thread that ends a path and one that unlocks, at least one sees what the other
            // did.
            fence(Ordering::SeqCst);
            let lends = |path: &Shared<Path<H>>| path.lend_state().lends();
            if self.lenders.with(|lenders| lenders.iter().all(lends)) {
                return;
            }
            let Some(_one_at_a_time) = self.changing.try_lock() else {
                return;
            };
            self.lenders.set(self.remaining_lenders());
        }
    }

    /// The paths that still lend. A path that was collected while another thread changed the list
    /// gives all its credit back here, with what a late thread has filled since. The caller holds
    /// the lock.
    fn remaining_lenders(&self) -> Vec<Shared<Path<H>>> {
        let mut lenders = self.lenders();
        lenders.retain(|path| {
            let lends = path.lend_state().lends();
            if !lends {
                self.end(path);
            }
            lends
        });
        lenders
    }

    /// The paths in the list.
    pub fn lenders(&self) -> Vec<Shared<Path<H>>> {
        self.lenders.with(Vec::clone)
    }

    /// Calls `f` for each path in the list, without a copy of the list.
    pub(super) fn for_each_lender(&self, mut f: impl FnMut(&Path<H>, &Credit)) {
        self.lenders.with(|lenders| {
            for path in lenders {
                if let Some(credit) = path.credit() {
                    f(path, credit);
                }
            }
        });
    }

    /// Takes back the credit of a path that stopped lending.
    fn end(&self, path: &Path<H>) {
        if let Some(credit) = path.credit() {
            for kind in Kind::ALL {
                self.give_back(path, kind, credit.stocks(kind), Stock::end);
            }
        }
    }

    /// The path is collected: it gives all credit back.
    pub fn collected(&self, path: &Path<H>) {
        if path.lend_state().set_collected() {
            self.end(path);
            self.tidy();
        }
    }

    /// Moves credit between nodes and stocks, so that a thread that adds up credit meanwhile knows
    /// it.
    pub(super) fn transfer<R>(&self, f: impl FnOnce() -> R) -> R {
        // SeqCst, here and below: in one order with the words of stocks and nodes.
        self.started.fetch_add(1, Ordering::SeqCst);
        let result = f();
        self.finished.fetch_add(1, Ordering::SeqCst);
        result
    }

    /// The result of `read`, if no transfer of credit overlaps it.
    pub(super) fn without_transfer<R>(&self, read: impl FnOnce() -> Option<R>) -> Option<R> {
        let finished = self.finished.load(Ordering::SeqCst);
        let result = read();
        let none_started = self.started.load(Ordering::SeqCst) == finished;
        result.filter(|_| none_started)
    }
}

/// Whether the credit of a lender was used since this was last called.
fn was_used<H: Home>(lender: &Path<H>) -> bool {
    // All stocks are read, so that each of them is reset.
    let stocks = lender.credit().into_iter().flat_map(Credit::all_stocks);
    stocks.filter(|stock| stock.was_used()).count() > 0
}
