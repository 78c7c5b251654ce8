//! Leaves: connections and streams. There may be millions, each with one owner.
//!
//! One word holds all that changes: `[closed][stage][has spans][memory]`. The stage says which path
//! the leaf is charged on. Its slot (one stream or one connection) is fixed at birth. Once the leaf
//! has spans, its own memory is counted apart. In every operation one step on the word decides:
//!
//! - *Reserve*: path first, leaf last. The path is charged, then the word is swapped for one with
//!   more memory. If the word changed meanwhile, and the path did not, only the swap is retried. If
//!   the leaf moved or was closed, the charge is cancelled and the operation starts again.
//! - *Release*: leaf first, path last. The amount is taken out of the word, and then given back to
//!   the path that the same word named. In this order a path never holds less than its leaves.
//! - *Close*: one step closes the word and returns the word before, to one caller only. That word
//!   says what to give back. A later operation sees a closed word and touches nothing.
//! - *Move* to the next path: one mover at a time. It charges the nodes that the next path has and
//!   this one lacks, then swaps the word, and then releases the nodes that only the old path had.
//!   If memory changed meanwhile, it charges the difference and retries. A thread that read the old
//!   stage either commits before the move, which then counts it, or fails its swap and starts
//!   again.

mod allowlist;
mod evaluated;
mod exchange;
mod holder;
mod move_step;
mod mover;
mod new_stream;
mod open;
mod paid;
mod recorded;
mod release;
mod reserve;
mod state;

pub use allowlist::leave_allowlist;
pub use holder::{ConnectionLeaf, More, SharedLeaf};
pub use mover::LeafMover;
pub use new_stream::{ask_first, ask_refused_peer, stream_path};
pub use open::{charge_in_turn, charge_new, check_new_alone, join_charged, pay_for_new};
pub use state::Leaf;
