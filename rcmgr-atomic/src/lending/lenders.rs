//! Which paths lend.

use super::options::CreditOptions;
use crate::counters::{Kind, Transfers};
use crate::lifetime::Shared;
use crate::path::{Credit, Home, LendState, Path, Stock};
use crate::sync::{Ordering, Published, RareLock, fence};
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
    /// Around each transfer of credit between nodes and the stocks of paths.
    transfers: Transfers,
}

impl<H: Home> Lending<H> {
    pub fn new(options: CreditOptions) -> Self {
        Self {
            options,
            lenders: Published::new(Vec::new()),
            changing: RareLock::default(),
            transfers: Transfers::none(),
        }
    }

    /// The lend state of a new path.
    pub fn new_lend_state(&self) -> LendState {
        LendState::after(self.options.warm)
    }

    /// The most credit of a kind in a stock.
    pub(super) fn most(&self, kind: Kind) -> u64 {
        let most = match kind {
            Kind::Memory => self.options.most_memory,
            Kind::Streams(_) => self.options.most_slots,
        };
        most.min(StockWord::MAX_CAPACITY)
    }

    /// The bounds on credit.
    pub(super) fn options(&self) -> &CreditOptions {
        &self.options
    }

    /// Lets the path lend, if there is room for one more lender. If another thread changes the list
    /// now, it does nothing: a later charge tries again.
    pub(super) fn begin(&self, path: &Shared<Path<H>>) {
        if let Some(one_at_a_time) = self.changing.try_lock() {
            self.begin_alone(path);
            drop(one_at_a_time);
            self.unlist_ended();
        }
    }

    /// The same. The caller holds the lock.
    fn begin_alone(&self, path: &Shared<Path<H>>) {
        // 1. Another thread may have been faster, or the path was collected.
        if !path.lend_state().may_begin() {
            return;
        }
        // 2. Make room in the list. Take off each path that stopped lending; and if the list is
        //    still full, each path that was not used since the list was full last time.
        let mut lenders = self.close_ended();
        let wait = WARM_UP_AFTER_FAILURE * self.options.warm;
        if lenders.len() >= self.options.most_lenders {
            lenders.retain(|lender| {
                // A path that cannot be ended here was collected. It is taken off the list later.
                let has_ended = !was_used(lender) && lender.lend_state().end(wait);
                if has_ended {
                    self.close_stocks(lender);
                }
                !has_ended
            });
        }
        if lenders.len() >= self.options.most_lenders {
            return path.lend_state().postpone(wait);
        }
        // 3. Put the path on the list before it has credit, so that all credit can be recalled.
        lenders.push(path.clone());
        self.lenders.set(lenders);
        // 4. Let its stocks be opened, and say so. The second step fails if the path was collected
        //    meanwhile: `unlist_ended` takes it off the list again.
        path.credit_or_new().begin();
        path.lend_state().begin();
    }

    /// Takes paths off the list that stopped lending. It never waits: if another thread holds the
    /// lock, that thread scans the list after it has unlocked.
    fn unlist_ended(&self) {
        loop {
            // 1. Scan the list. The SeqCst fence stands between the step before, which ended a path
            //    or released the lock, and the scan. Of a thread that ended a path and a thread
            //    that released the lock, at least one sees the step of the other. So a path that
            //    has ended does not stay on the list.
            fence(Ordering::SeqCst);
            let lends = |path: &Shared<Path<H>>| path.lend_state().lends();
            if self.lenders.with(|lenders| lenders.iter().all(lends)) {
                return;
            }
            // 2. A path has ended. If the lock is taken, its holder scans after this.
            let Some(_one_at_a_time) = self.changing.try_lock() else {
                return;
            };
            self.lenders.set(self.close_ended());
            // 3. Unlock and scan again: another thread may have found the lock taken meanwhile.
        }
    }

    /// Closes the stocks of listed paths that stopped lending, and returns the other paths. The
    /// caller holds the lock.
    ///
    /// A path that was collected while it began to lend has its stocks closed only here, with the
    /// credit that a late thread has filled in since.
    fn close_ended(&self) -> Vec<Shared<Path<H>>> {
        let mut lenders = self.lenders();
        lenders.retain(|path| {
            let lends = path.lend_state().lends();
            if !lends {
                self.close_stocks(path);
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

    /// Gives back all credit of a path that stopped lending, and closes its stocks.
    fn close_stocks(&self, path: &Path<H>) {
        if let Some(credit) = path.credit() {
            credit.note_end();
            for kind in Kind::ALL {
                self.give_back(path, kind, credit.stocks(kind), Stock::end);
            }
        }
    }

    /// Ends the lending of a path that is collected: it gives all credit back.
    pub fn collected(&self, path: &Path<H>) {
        if path.lend_state().set_collected() {
            self.close_stocks(path);
            self.unlist_ended();
        }
    }

    /// The transfers of credit between nodes and the stocks of paths.
    pub(super) fn transfers(&self) -> &Transfers {
        &self.transfers
    }
}

/// Whether the credit of a lender was used since this was last called.
fn was_used<H: Home>(lender: &Path<H>) -> bool {
    // All stocks are read, so that each of them is reset.
    let stocks = lender.credit().into_iter().flat_map(Credit::all_stocks);
    stocks.filter(|stock| stock.was_used()).count() > 0
}
