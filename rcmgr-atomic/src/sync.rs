//! Atomics, locks and maps. They are real ones, or under `--cfg loom` stand-ins whose interleavings
//! loom explores. So the models in `loom-tests` run the code that runs in a server. In the crate
//! `rcmgr-atomic-simulated`, which has the same sources, they are those of a simulated machine.

#[cfg(not(loom))]
mod brief_lock;
mod clock;
mod guessed_word;
mod hint;
#[cfg(loom)]
mod model;
#[cfg(all(not(loom), not(simulated)))]
mod primitives;
#[cfg(all(not(loom), simulated))]
#[path = "sync/simulated.rs"]
mod primitives;
#[cfg(not(loom))]
mod real;
#[cfg(not(loom))]
mod table;
mod user_code;

pub use clock::SystemClock;
pub use guessed_word::GuessedWord;
pub use hint::cold_path;
#[cfg(loom)]
pub use model::*;
pub use user_code::call_user_code;
#[cfg(not(loom))]
pub use {real::*, table::Table};
