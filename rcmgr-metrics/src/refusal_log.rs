//! Refusals as sentences in a server's log.

mod asked;
mod limit;
mod line;
mod log;
mod mode;
mod queued;
mod scopes;
mod tallies;
mod tally;
mod thread;
mod words;

pub use log::RefusalLog;
pub use thread::RefusalLogThread;
