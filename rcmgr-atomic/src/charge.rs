//! The charges that nodes can take, and how several nodes are charged as one: all of them or none.

mod all_or_none;
mod charges;
mod memory;
mod refused;
mod slots;
mod whole_leaf;

pub use all_or_none::{Contention, cancel_all, charge_all};
pub use charges::{Charge, SlotCharge};
pub use memory::Memory;
pub use refused::Refused;
pub use slots::{OneConnection, Streams};
pub use whole_leaf::WholeLeaf;
