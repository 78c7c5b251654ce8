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

mod fill;
mod lenders;
mod options;
mod recall;
mod share;
mod usage;

pub use fill::Fill;
pub use lenders::Lending;
pub use options::CreditOptions;
pub use recall::may_have_credit;
