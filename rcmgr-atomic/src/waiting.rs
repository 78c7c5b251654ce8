//! Requests that wait for room in a scope: their queues, their order, and how they are woken.

mod queue;
mod ticket;
mod totals;
mod waiters;
mod wake_later;

pub use queue::{NodesOfScope, Place, Waiter};
pub use ticket::{Position, Ticket};
pub use totals::{WaitEnd, WaitTotals};
pub use waiters::Waiters;
pub use wake_later::WakeLater;
