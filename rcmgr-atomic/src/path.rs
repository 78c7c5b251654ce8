//! Paths: the nodes that leaves are charged on, how a path is found, and the prepaid credit on it.

mod credit;
mod differences;
pub mod hot_paths;
mod kind;
mod lend_state;
mod links;
mod peers;
mod shared_path;

pub use credit::{Credit, Stock};
pub use kind::PathKind;
pub use lend_state::{LendState, LendStep};
pub use peers::Peers;
pub use shared_path::{Home, Path};
