//! Nodes: scopes that leaves are charged on, with their gauges, their users, and their names.

mod cache_line;
mod dry_run;
mod gauge;
mod registry;
mod shared_scope;
mod users;

pub use gauge::{ConnsStock, ConnsStocks, threshold};
pub use registry::Registry;
pub use shared_scope::{MAX_NODES, Node, NodeLimit, Nodes, is_collected, is_transient, rank};
