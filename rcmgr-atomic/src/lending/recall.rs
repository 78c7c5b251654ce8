//! How credit is recalled: given back to the nodes that it is charged on.

use super::fill::lower_credit_bounds;
use super::lenders::Lending;
use crate::charge::Charge;
use crate::counters::Kind;
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;
use crate::path::{Home, Path, Stock};
use crate::words::StockWord;

/// Whether there may be credit on a node of what it has no room for.
#[inline]
pub fn may_have_credit(node: &Node, reached: LimitReached) -> bool {
    Kind::of(reached.resource)
        .iter()
        .any(|&kind| node.credit_bound(kind) > 0)
}

impl<H: Home> Lending<H> {
    /// Recalls the credit on a node that has no room for a charge. Returns the limit that is
    /// reached all the same, or `None` if there is room now.
    ///
    /// A recalled stock is not filled for a while, and the node backs off for longer. So where many
    /// are refused, most find nothing to recall.
    #[cold]
    pub fn make_room<C: Charge>(
        &self,
        node: &Node,
        mut reached: LimitReached,
        charge: C,
        version: LimitsVersion,
    ) -> Option<LimitReached> {
        let mut recalled = [false; Kind::ALL.len()];
        loop {
            let mut is_final = true;
            for &kind in Kind::of(reached.resource) {
                if !std::mem::replace(&mut recalled[kind.index()], true) {
                    self.recall(node, kind);
                    is_final = false;
                }
            }
            if is_final {
                return Some(reached);
            }
            // The node is checked even if nothing was recalled: another thread may have recalled it
            // since the last check. And where there is room now, another resource may lack room.
            match charge.check(node, version) {
                Ok(_) => return None,
                Err(now) => reached = now,
            }
        }
    }

    /// Recalls all credit of a kind on a node.
    fn recall(&self, node: &Node, kind: Kind) {
        if node.credit_bound(kind) == 0 {
            return;
        }
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

    /// Takes notice of a new version of the limits. A stock holds only some bits of the number of
    /// its version: all credit is recalled before these bits repeat.
    pub fn limits_changed(&self, version: LimitsVersion) {
        if version.number().is_multiple_of(StockWord::VERSIONS / 2) {
            for path in self.lenders() {
                self.recall_path(&path);
            }
        }
    }

    fn recall_path(&self, path: &Path<H>) {
        if let Some(credit) = path.credit() {
            for kind in Kind::ALL {
                self.give_back(path, kind, credit.stocks(kind), Stock::drain);
            }
        }
    }

    /// Gives back the credit of those stocks that `close` closes.
    pub(super) fn give_back<'a>(
        &self,
        path: &Path<H>,
        kind: Kind,
        stocks: impl Iterator<Item = &'a Stock>,
        close: impl FnMut(&'a Stock) -> Option<StockWord>,
    ) {
        self.transfer(|| {
            for word in stocks.filter_map(close) {
                if word.amount() > 0 {
                    // Released, not cancelled: what was put back as credit may have been the peak.
                    path.iter()
                        .for_each(|node| node.release(kind, word.amount()));
                }
                if word.capacity() > 0 {
                    lower_credit_bounds(path.iter(), kind, word.capacity());
                }
            }
        });
    }
}
