//! How the prepaid connections of a node are filled, recalled, and left out of its usage.

use std::iter;

use rcmgr_core::{Direction, Resource, ScopeStat, UsesFd};

use super::lenders::Lending;
use super::share::may_lend_conns;
use super::{ATTEMPTS, batch};
use crate::limits::{CurrentVersion, LimitsVersion};
use crate::node::{ConnsStock, ConnsStocks, Node, is_collected};
use crate::path::Home;
use crate::sync::order_seq_cst_accesses;
use crate::waiting::Waiters;
use crate::words::{ConnsStockWord, ConnsWord, Resources, largest_power_of_two};

/// A new stock gets at most this part of the credit that the node may still have.
const PART: u64 = 8;

/// A request to fill the stocks of this thread, after a charge of nodes with a connection.
pub struct FillConns<'a> {
    pub versions: &'a CurrentVersion,
    /// The version of the limits that the charge was made under.
    pub version: LimitsVersion,
    pub direction: Direction,
    pub uses_fd: UsesFd,
    pub waiters: &'a Waiters,
}

impl<H: Home> Lending<H> {
    /// Whether a node without stocks may get some, or comes nearer to that. There may be millions of
    /// nodes that are collected: of these, only those that threads contend for get stocks.
    #[inline]
    pub fn may_begin_conns(&self, node: &Node) -> bool {
        node.conns.credit().warmth() >= self.options().warm || !is_collected(node.class())
    }
}

impl FillConns<'_> {
    /// Fills the stocks of these nodes that have no such connection left. If one has no stocks and
    /// gets none, those after it are left alone: a connection is paid for by credit of all nodes of
    /// its path, or of none.
    #[inline]
    pub fn run<'a, H: Home>(&self, lending: &Lending<H>, nodes: impl Iterator<Item = &'a Node>) {
        for node in nodes {
            if !self.fill_node(lending, node) {
                return;
            }
        }
    }

    /// Fills the stock of this node, if that has no such connection left. Returns whether the node
    /// has stocks.
    #[inline]
    fn fill_node<H: Home>(&self, lending: &Lending<H>, node: &Node) -> bool {
        if node.conns.credit().stocks().is_none() && !lending.may_begin_conns(node) {
            return false;
        }
        self.fill_if_empty(lending, node);
        node.conns.credit().stocks().is_some()
    }

    // Not part of its callers: most paths end at a node that may not have stocks.
    #[inline(never)]
    fn fill_if_empty<H: Home>(&self, lending: &Lending<H>, node: &Node) {
        let stock = node.conns.credit().stock();
        if stock.is_none_or(|stock| !stock.has(self.version, self.direction, self.uses_fd)) {
            self.fill(lending, node);
        }
    }

    #[cold]
    #[inline(never)]
    fn fill<H: Home>(&self, lending: &Lending<H>, node: &Node) {
        let (options, credit) = (lending.options(), node.conns.credit());
        let most = options.most_slots.min(ConnsStockWord::MAX_CAPACITY);
        if most == 0 {
            return;
        }
        let stocks = match credit.stocks() {
            Some(stocks) => stocks,
            None if credit.warmth() < options.warm => return credit.warm_up(),
            // Stocks take memory: there must be room for some credit.
            None if self.room(node).is_none_or(|room| room < PART) => return,
            None => credit.begin(),
        };
        let stock = stocks.of_this_thread();
        if !stock.backs_off() && !self.try_fill(node, stocks, stock, most) {
            stock.set_back_off();
        }
    }

    /// Fills the stock, or opens it. Returns false if that failed: then the stock backs off.
    fn try_fill(&self, node: &Node, stocks: &ConnsStocks, stock: &ConnsStock, most: u64) -> bool {
        // A connection that moves to the node is not checked where credit pays for it.
        if !node.may_gain_leaves(self.version) {
            return false;
        }
        let word = stock.load();
        // 1. Charge the node with a batch, and add it to an open stock.
        if word.is_open() {
            let size = batch(word.capacity());
            let batch = word.batch(size, self.direction, self.uses_fd);
            // After a change of the limits even a batch of zero is charged: this checks the node,
            // credit included, against the new limits, and makes the stock valid under them.
            return self.room(node).is_some()
                && self.charge(node, stocks, batch, || stock.fill(self.version, batch));
        }
        // 2. Credit was recalled a short while ago: lend nothing on this node for now.
        if node.backs_off() {
            return false;
        }
        // 3. Choose a capacity, and raise the bound before there is credit, so that a node with a
        //    bound of zero has none. Check that the bound, with this capacity, is not too high:
        //    other threads may have raised it, too.
        let Some(capacity) = self.capacity(node, most) else {
            return false;
        };
        stocks.raise_bound(capacity);
        // 4. Open the stock with a first batch.
        let fds = u64::from(self.uses_fd == UsesFd::Yes) * batch(capacity);
        let batch = ConnsWord::of(self.direction, batch(capacity), fds);
        let open = || stock.open(self.version, capacity, batch);
        let opened = self.room(node).is_some() && self.charge(node, stocks, batch, open);
        if !opened {
            stocks.lower_bound(capacity);
            return false;
        }
        // 5. A request may have begun to wait since the node was checked, and have found nothing to
        //    recall. Either it sees the open stock, or this thread sees it. In the same way, this
        //    thread sees that a dry run has begun, with which there is no credit.
        order_seq_cst_accesses();
        if node.is_waited_for(Resources::ALL_OF_CONNECTIONS)
            || !self.versions.is_current(self.version)
        {
            give_back(node, stocks, iter::once(stock), self.waiters);
            return false;
        }
        true
    }

    /// The capacity of a stock that is opened now: a power of two. `None` if the node may not lend.
    fn capacity(&self, node: &Node, most: u64) -> Option<u64> {
        let room = self.room(node)?;
        // Where a limit is low, a stock for a single connection serves a thread that opens one after
        // the other.
        let part = (room / PART).max(1).min(room);
        largest_power_of_two(most.min(part))
    }

    /// How much more credit the node may have. `None` near a limit.
    fn room(&self, node: &Node) -> Option<u64> {
        may_lend_conns(node, self.version, self.direction, self.uses_fd)
    }

    /// Charges the node with a batch, and calls `keep` to put it into the stock. Returns whether
    /// both succeeded: otherwise nothing is charged.
    fn charge(
        &self,
        node: &Node,
        stocks: &ConnsStocks,
        batch: ConnsWord,
        keep: impl FnOnce() -> bool,
    ) -> bool {
        stocks.transfers().run(|| {
            if !node.conns.charge_batch(self.version, batch) {
                return false;
            }
            // The version is read after the charge. So if another thread makes this stock valid
            // under a later version, its check has counted this batch.
            let kept = self.versions.is_current(self.version) && keep();
            if !kept {
                node.conns.cancel_batch(batch);
                made_room(node, self.waiters);
            }
            kept
        })
    }
}

/// Whether a limit of this resource may be reached because of prepaid connections.
pub fn may_have_conns_credit(node: &Node, resource: Resource) -> bool {
    let counts = Resources::ALL_OF_CONNECTIONS.contains(resource);
    counts && node.conns.credit().bound() > 0
}

/// Recalls all prepaid connections of a node. The node backs off for longer, the more stocks had to
/// be drained. So where many connections are refused, most find nothing to recall.
pub fn recall_conns(node: &Node, waiters: &Waiters) {
    let Some(stocks) = node.conns.credit().stocks() else {
        return;
    };
    // The bound is raised before a stock is opened: if it is zero there is no credit.
    if node.conns.credit().bound() == 0 {
        return;
    }
    let mut drained = 0;
    let backing_off = stocks.iter().inspect(|stock| {
        if stock.load().is_open() {
            drained += 1;
            stock.set_back_off();
        }
    });
    give_back(node, stocks, backing_off, waiters);
    node.set_back_off(drained);
}

/// Drains some stocks of a node, and gives their credit back to its counter.
fn give_back<'a>(
    node: &Node,
    stocks: &ConnsStocks,
    drained: impl Iterator<Item = &'a ConnsStock>,
    waiters: &Waiters,
) {
    stocks.transfers().run(|| {
        for word in drained.filter_map(ConnsStock::drain) {
            node.conns.give_back(word.amount());
            made_room(node, waiters);
            stocks.lower_bound(word.capacity());
        }
    });
}

/// Wakes requests that wait for what the node has got back.
fn made_room(node: &Node, waiters: &Waiters) {
    waiters.released(iter::once(node), Resources::ALL_OF_CONNECTIONS);
}

/// Puts the connections and file descriptors in use into `stat`, which has those that the node is
/// charged with.
///
/// Credit is moved while this reads, so the read must be checked, as for the credit of paths. If
/// that keeps failing, the charge stays: an upper bound of the usage.
pub fn subtract_conns_credit(node: &Node, stat: &mut ScopeStat) {
    let Some(stocks) = node.conns.credit().stocks() else {
        return;
    };
    let attempt = || {
        let credit = stocks.amount();
        let charged = node.conns.used();
        // Credit that connections took or put back meanwhile changes the sum, but not the charge.
        let is_stable = stocks.amount() == credit;
        is_stable.then(|| charged.saturating_sub(credit))
    };
    let used = (0..ATTEMPTS).find_map(|_| stocks.transfers().without(attempt));
    if let Some(used) = used {
        stat.conns_inbound = used.get(Direction::Inbound);
        stat.conns_outbound = used.get(Direction::Outbound);
        stat.fd = used.fd();
    }
}
