//! How the stocks of a path are filled.

use rcmgr_core::Priority;

use super::batch;
use super::lenders::Lending;
use super::share::{MayLend, may_lend};
use crate::charge::{Charge, Contention, Memory, Streams, cancel_all, charge_all};
use crate::counters::Kind;
use crate::lifetime::Shared;
use crate::limits::{CurrentVersion, LimitsVersion};
use crate::node::Node;
use crate::path::{Home, LendStep, Path, Stock};
use crate::sync::{order_seq_cst_accesses, shards};
use crate::waiting::Ticket;
use crate::words::{StockState, largest_power_of_two};

/// A new stock gets at most this part of the credit that each node may still have.
const PART: u64 = 8;

/// A charge that contended for its nodes counts as this many towards the time when the path may lend.
/// Otherwise threads that all begin at once contend for long: each of many needs many charges.
const CONTENDED: u64 = 32;

/// A request to fill the stock of this thread, after a charge of the nodes of a path that credit
/// could have paid for.
pub struct Fill<'a, H: Home> {
    pub lending: &'a Lending<H>,
    pub versions: &'a CurrentVersion,
    /// The version of the limits that the charge was made under.
    pub version: LimitsVersion,
    pub path: &'a Shared<Path<H>>,
    pub kind: Kind,
    /// The amount of the charge.
    pub amount: u64,
    /// The level of its priority.
    pub level: u8,
    /// Whether other threads charged the same nodes.
    pub contention: Contention,
}

impl<H: Home> Fill<'_, H> {
    /// Fills the stock, or counts the charge towards the time when the path may lend.
    #[cold]
    pub fn run(self) {
        if self.path.is_lasting() || !serves(self.lending.most(self.kind), self.amount) {
            return;
        }
        // A low priority reaches its part of a limit early. It does not lend near that, and this is
        // no reason to turn down the requests of others to fill the stock.
        if self.level < u8::MAX && self.path.iter().any(|node| self.may_lend(node).is_none()) {
            return;
        }
        let times = match self.contention {
            Contention::None => 1,
            Contention::Some => CONTENDED,
        };
        match self.path.lend_state().count_charge(times) {
            LendStep::Nothing => {}
            LendStep::Begin => self.lending.begin(self.path),
            LendStep::Fill => self.fill(),
        }
    }

    fn fill(&self) {
        let Some(credit) = self.path.credit() else {
            return;
        };
        let stock = credit.stock(self.kind);
        if !stock.backs_off() && !self.try_fill(stock) {
            stock.set_back_off();
        }
    }

    /// Fills the stock of this thread, or opens it. Returns false if that failed: then the stock
    /// backs off.
    fn try_fill(&self, stock: &Stock) -> bool {
        // A leaf that moves to the path is not checked where credit pays for its slot.
        let may_gain = |node: &Node| node.may_gain_leaves(self.version);
        if self.kind != Kind::Memory && !self.path.iter().all(may_gain) {
            return false;
        }
        let mut word = stock.load();
        // 1. An open stock may be too small for charges like this one, because less could be lent
        //    when it was opened. If it would get more now, drain it, and open it again below.
        if word.state() == StockState::Open && !serves(word.capacity(), self.amount) {
            let capacity = self.capacity();
            if capacity.is_none_or(|capacity| capacity <= word.capacity()) {
                return false;
            }
            let stocks = std::iter::once(stock);
            self.lending
                .give_back(self.path, self.kind, stocks, Stock::drain);
            word = stock.load();
        }
        match word.state() {
            // 2a. The path has stopped lending. Nothing failed.
            StockState::Idle => true,
            // 2b. Charge the nodes with a batch, and add it to the stock.
            StockState::Open => {
                let batch = (word.capacity() - word.amount()).min(batch(word.capacity()));
                if batch == 0 && word.is_valid_under(self.version.number()) {
                    return true; // It is full.
                }
                let is_near_a_limit = self.path.iter().any(|node| self.may_lend(node).is_none());
                // After a change of the limits even a batch of zero is charged: this checks the
                // nodes, credit included, against the new limits, and makes the stock valid under
                // them.
                !is_near_a_limit && self.charge(batch, || stock.fill(self.version, batch))
            }
            // 2c. Open the stock with a first batch. The credit bounds are raised before there is
            //     credit, so that a node with a bound of zero has none.
            StockState::Drained => {
                let Some(capacity) = self.raise_credit_bounds() else {
                    return false;
                };
                let batch = batch(capacity);
                let opened = self.charge(batch, || stock.open(self.version, capacity, batch));
                if !opened {
                    lower_credit_bounds(self.path.iter(), self.kind, capacity);
                    return false;
                }
                // A request may have begun to wait since the nodes were checked, and have found
                // nothing to recall. Either it sees the open stock, or this thread sees it.
                order_seq_cst_accesses();
                if self
                    .path
                    .iter()
                    .any(|node| node.is_waited_for(self.kind.resources()))
                {
                    let stocks = std::iter::once(stock);
                    self.lending
                        .give_back(self.path, self.kind, stocks, Stock::drain);
                    return false;
                }
                true
            }
        }
    }

    /// How much credit the node may have. `None` if it has as much already.
    fn may_lend(&self, node: &Node) -> Option<MayLend> {
        may_lend(node, self.version, self.kind, self.level)
    }

    /// The capacity of a stock that is opened now: a power of two. `None` if a node may not lend.
    fn capacity(&self) -> Option<u64> {
        // On a large machine each thread needs its part, so a stock leaves as much for the others, if
        // that serves charges like this one.
        let (threads, needed) = (shards() as u64, 2 * self.amount);
        let most = self.lending.most(self.kind);
        let mut nodes = self.path.iter();
        let most = nodes.try_fold(most, |most, node| {
            let MayLend { all, more } = self.may_lend(node)?;
            let fair = (all / threads).max(needed.next_power_of_two());
            Some(most.min(more / PART).min(fair))
        })?;
        largest_power_of_two(most)
    }

    /// Raises the credit bound of all nodes by the capacity of a new stock. Returns the capacity.
    /// `None` if a node backs off or may not lend that much: then no bound is changed.
    fn raise_credit_bounds(&self) -> Option<u64> {
        // 1. Credit on this node was recalled a short while ago: lend nothing on it for now.
        if self.path.iter().any(Node::backs_off) {
            return None;
        }
        // 2. Choose the capacity. A stock that is too small for charges like this one is useless.
        let capacity = self.capacity()?;
        if !serves(capacity, self.amount) {
            return None;
        }
        // 3. Raise the bounds. Other threads may have raised them since the capacity was chosen. So
        //    check after each step that the bound, with this capacity, is not too high.
        for (at, node) in self.path.iter().enumerate() {
            node.raise_credit_bound(self.kind, capacity);
            if self.may_lend(node).is_none() {
                lower_credit_bounds(self.path.iter().take(at + 1), self.kind, capacity);
                return None;
            }
        }
        Some(capacity)
    }

    /// Charges all nodes with a batch of `count`, and calls `keep` to put it into the stock.
    /// Returns whether both succeeded: otherwise nothing is charged.
    fn charge(&self, count: u64, keep: impl FnOnce() -> bool) -> bool {
        match self.kind {
            Kind::Memory => {
                let batch = Memory::new(count, Priority::Always).with_ticket(Ticket::FIRST);
                self.charge_batch(batch, keep)
            }
            Kind::Streams(direction) => {
                let ticket = Ticket::FIRST;
                let batch = Streams {
                    direction,
                    count,
                    ticket,
                };
                self.charge_batch(batch, keep)
            }
        }
    }

    fn charge_batch(&self, batch: impl Charge, keep: impl FnOnce() -> bool) -> bool {
        self.lending.transfers().run(|| {
            let waiters = self.path.home().waiters();
            if charge_all(self.path.iter(), self.version, batch, waiters).is_err() {
                return false;
            }
            // The version is read after the charge. So if another thread makes this stock valid
            // under a later version, its check has counted this batch.
            let kept = self.versions.is_current(self.version) && keep();
            if !kept {
                cancel_all(self.path.iter(), batch, waiters);
            }
            kept
        })
    }
}

/// Whether a stock of this capacity serves charges of `amount`: a batch holds that much, and there
/// is room to put it back.
fn serves(capacity: u64, amount: u64) -> bool {
    batch(capacity) >= amount
}

/// Lowers the credit bound of nodes by the capacity of a stock that is closed.
pub fn lower_credit_bounds<'a>(nodes: impl Iterator<Item = &'a Node>, kind: Kind, capacity: u64) {
    nodes.for_each(|node| node.lower_credit_bound(kind, capacity));
}
