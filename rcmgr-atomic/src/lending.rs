//! Lending: which paths hold prepaid credit, how much, and how it is recalled.
//!
//! A path begins to lend when it is charged often. Only a bounded number of paths lend at a time.
//! When there are that many, those that were not used for a while make room. A path that is
//! collected gives all credit back and stops lending.
//!
//! A stock is opened with a capacity, and each node has an upper bound of its credit: the
//! capacities of all open stocks on the paths through it. The bound is raised before a stock is
//! opened, and lowered after its credit was given back. So the bound is never less than the credit
//! on the node. It limits the credit to a share of the limit. A node whose bound is zero refuses
//! without a search for credit.
//!
//! Connections are different: a node holds prepaid connections itself, for all paths through it
//! (`conns.rs`).

mod conns;
mod fill;
mod lenders;
mod options;
mod recall;
mod share;
mod usage;

pub use conns::{FillConns, recall_conns};
pub use fill::Fill;
pub use lenders::Lending;
pub use options::CreditOptions;
pub use recall::{may_have_credit, recalls_all};

/// How often usage is read, at most, until no transfer of credit overlaps.
const ATTEMPTS: usize = 16;

/// The amount that a stock of this capacity is filled with at once. It leaves room for amounts that
/// are put back.
fn batch(capacity: u64) -> u64 {
    capacity.div_ceil(2)
}
