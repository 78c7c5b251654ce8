//! Packed words: one atomic integer with named fields, so that one atomic step reads or changes all
//! of them together. Bits are shifted and masked on this floor alone.

mod conns;
mod conns_stock;
mod field;
mod leaf;
mod mark;
mod power;
mod resources;
mod shard_uses;
mod span;
mod stock;
mod streams;
mod use_tag;
mod uses;

pub use conns::ConnsWord;
pub use conns_stock::ConnsStockWord;
pub use leaf::LeafWord;
pub use mark::mark_of;
pub use power::largest_power_of_two;
pub use resources::{Resources, WaitedWord};
pub use shard_uses::{ShardState, ShardUsesWord};
pub use span::SpanWord;
pub use stock::{StockState, StockWord};
pub use streams::StreamsWord;
pub use use_tag::UseTag;
pub use uses::{EntryState, UsesWord};
