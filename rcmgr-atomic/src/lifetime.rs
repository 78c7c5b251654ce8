//! Reference counts, and slots that one thread writes while other threads read their neighbours:
//! all the `unsafe` code of the crate.

pub mod retire;
mod shared;
mod staged;

pub use shared::{Collect, Shared, Use};
pub use staged::{Mover, Staged};
