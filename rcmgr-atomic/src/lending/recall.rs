//! How credit is recalled: given back to the nodes that it is charged on.

use super::conns::{may_have_conns_credit, recall_conns};
use super::fill::lower_credit_bounds;
use super::lenders::Lending;
use crate::charge::Charge;
use crate::counters::Kind;
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;
use crate::path::{Home, Path, Stock};
use crate::waiting::Waiters;
use crate::words::{ConnsStockWord, StockWord};

/// Whether all credit must be recalled when this version of the limits comes into force. A stock holds
/// only the low bits of the number of its version. So all credit is recalled in time, before these
/// bits repeat.
pub fn recalls_all(version: LimitsVersion) -> bool {
    const _: () = assert!(StockWord::VERSIONS == ConnsStockWord::VERSIONS);
    version.number().is_multiple_of(StockWord::VERSIONS / 2)
}

/// Whether the node that refused may have credit of the resource that it has no room for.
#[inline]
pub fn may_have_credit(node: &Node, reached: LimitReached) -> bool {
    let kinds = Kind::of(reached.resource);
    kinds.iter().any(|&kind| node.credit_bound(kind) > 0)
        || may_have_conns_credit(node, reached.resource)
}

impl<H: Home> Lending<H> {
    /// Checks a node again that has refused a charge, without credit on it: credit is not usage, so
    /// it must not cause a refusal. Returns the limit that is reached all the same, or `None` if
    /// the charge should be tried again.
    #[inline]
    pub fn recheck<C: Charge>(
        &self,
        node: &Node,
        reached: LimitReached,
        charge: C,
        version: LimitsVersion,
        waiters: &Waiters,
    ) -> Option<LimitReached> {
        if may_have_credit(node, reached) {
            return self.make_room(node, reached, charge, version, waiters);
        }
        // There is no credit now, but another thread may have recalled some between the first check
        // and this point. If the node has room now, or refuses for a resource with credit, the
        // whole charge is tried again.
        let now = charge.check(node, version).err();
        now.filter(|&now| !may_have_credit(node, now))
    }

    /// Recalls the credit on a node that has no room for a charge. Returns the limit that is
    /// reached all the same, or `None` if there is room now.
    ///
    /// A recalled stock is not filled for a while, and the node backs off for longer. So where many
    /// charges are refused, most find no credit to recall.
    #[cold]
    fn make_room<C: Charge>(
        &self,
        node: &Node,
        mut reached: LimitReached,
        charge: C,
        version: LimitsVersion,
        waiters: &Waiters,
    ) -> Option<LimitReached> {
        let mut is_recalled = [false; Kind::ALL.len()];
        let mut are_conns_recalled = false;
        // Each round recalls the kinds of the resource that lacks room, and checks the node again.
        // Then another resource may lack room. Each kind is recalled once, so the loop ends.
        loop {
            // 1. Recall each of these kinds, unless an earlier round did.
            let mut has_recalled = false;
            for &kind in Kind::of(reached.resource) {
                if !is_recalled[kind.index()] {
                    is_recalled[kind.index()] = true;
                    self.recall(node, kind);
                    has_recalled = true;
                }
            }
            if !are_conns_recalled && may_have_conns_credit(node, reached.resource) {
                are_conns_recalled = true;
                recall_conns(node, waiters);
                has_recalled = true;
            }
            // 2. The node refuses without any credit of this resource: that is final.
            if !has_recalled {
                return Some(reached);
            }
            // 3. Check the node, even if there was no credit to recall: another thread may have
            //    recalled it since the last check.
            match charge.check(node, version) {
                Ok(_) => return None,
                Err(now) => reached = now,
            }
        }
    }

    /// Recalls all credit of a kind on a node, from all paths through it.
    fn recall(&self, node: &Node, kind: Kind) {
        // The bound is raised before a stock is opened: if it is zero there is no credit.
        if node.credit_bound(kind) == 0 {
            return;
        }
        // The paths and the stocks that had to be visited.
        let mut cost = 0_u32;
        self.for_each_lender_on(node, |path, credit| {
            cost += 1;
            self.give_back(path, kind, credit.stocks(kind), |stock| {
                stock.drain().inspect(|_| {
                    cost += 1;
                    stock.set_back_off();
                })
            });
        });
        // The more there was to do, the longer the node backs off.
        node.set_back_off(cost);
    }

    /// Recalls the credit of all paths.
    pub fn recall_all_paths(&self) {
        for path in self.lenders() {
            self.recall_path(&path);
        }
    }

    /// Recalls all credit of a path.
    fn recall_path(&self, path: &Path<H>) {
        if let Some(credit) = path.credit() {
            for kind in Kind::ALL {
                self.give_back(path, kind, credit.stocks(kind), Stock::drain);
            }
        }
    }

    /// Gives back the credit of those stocks that `close` closes. `close` returns the word before.
    pub(super) fn give_back<'a>(
        &self,
        path: &Path<H>,
        kind: Kind,
        stocks: impl Iterator<Item = &'a Stock>,
        close: impl FnMut(&'a Stock) -> Option<StockWord>,
    ) {
        self.transfers().run(|| {
            for word in stocks.filter_map(close) {
                if word.amount() > 0 {
                    // Released, not cancelled: leaves held some of it before they put it back as
                    // credit, and that may have been the peak.
                    path.iter()
                        .for_each(|node| node.release(kind, word.amount()));
                    path.made_room(|| kind.resources());
                }
                if word.capacity() > 0 {
                    lower_credit_bounds(path.iter(), kind, word.capacity());
                }
            }
        });
    }
}
