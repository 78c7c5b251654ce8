//! The usage of a node: its charge less the credit on it.

use std::ptr;

use rcmgr_core::{Direction, ScopeStat};

use super::ATTEMPTS;
use super::conns::subtract_conns_credit;
use super::lenders::Lending;
use crate::counters::Kind;
use crate::node::Node;
use crate::path::{Credit, Home, Path};

impl<H: Home> Lending<H> {
    /// The usage of a node: its charge less the credit on it.
    pub fn stat(&self, node: &Node) -> ScopeStat {
        let mut stat = node.charged();
        for kind in Kind::ALL {
            if node.credit_bound(kind) > 0 {
                *match kind {
                    Kind::Memory => &mut stat.memory,
                    Kind::Streams(Direction::Inbound) => &mut stat.streams_inbound,
                    Kind::Streams(Direction::Outbound) => &mut stat.streams_outbound,
                } = self.used(node, kind);
            }
        }
        subtract_conns_credit(node, &mut stat);
        stat
    }

    /// The usage of one kind. Credit is moved while this reads, so the read must be checked: the
    /// sum of the stocks must be the same before and after the charge is read, and no transfer
    /// between nodes and stocks may overlap. If that keeps failing, the charge is returned: an
    /// upper bound of the usage.
    fn used(&self, node: &Node, kind: Kind) -> u64 {
        let attempt = || {
            let credit = self.credit(node, kind);
            let charged = node.used(kind);
            // Credit that leaves took or put back meanwhile changes the sum, but not the charge.
            let is_stable = self.credit(node, kind) == credit;
            is_stable.then(|| charged.saturating_sub(credit))
        };
        (0..ATTEMPTS)
            .find_map(|_| self.transfers().without(attempt))
            .unwrap_or_else(|| node.used(kind))
    }

    /// The credit in all stocks of the paths through a node.
    fn credit(&self, node: &Node, kind: Kind) -> u64 {
        let mut sum = 0;
        self.for_each_lender_on(node, |_, credit| sum += credit.amount(kind));
        sum
    }

    /// Calls `f` for each path in the list that goes through a node.
    pub(super) fn for_each_lender_on(&self, node: &Node, mut f: impl FnMut(&Path<H>, &Credit)) {
        self.for_each_lender(|path, credit| {
            if path.iter().any(|other| ptr::eq(other, node)) {
                f(path, credit);
            }
        });
    }
}
