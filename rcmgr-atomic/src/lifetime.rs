//! Reference counts, and slots that are written while others read: all the `unsafe` code of the
//! crate.

pub mod retire;
mod shared;
mod staged;

pub use shared::{Collect, Shared, Use};
pub use staged::{Mover, Staged};
