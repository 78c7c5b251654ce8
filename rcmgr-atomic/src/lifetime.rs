//! Reference counts, and slots that one thread writes while other threads read their neighbours:
//! all the `unsafe` code of the crate.

mod entry_uses;
mod handed_over;
pub mod retire;
mod retired;
mod shard_uses;
mod shared;
mod staged;
mod uses;

pub use entry_uses::EntryUses;
pub use handed_over::HandedOver;
pub use shard_uses::ShardUses;
pub use shared::Shared;
pub use staged::{Mover, Staged};
pub use uses::{Collect, Use};
