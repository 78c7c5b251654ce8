//! What the tests of rcmgr share.
//!
//! - [`Op`] is one operation as a value.
//! - [`Session`] performs operations on a manager and keeps the handles that they open.
//! - [`Model`] performs the same operations sequentially, in plain code. It is the oracle for every
//!   engine.
//! - [`RandomOps`] draws operations at random.
//! - [`passed_in_own_process`] gives a test that listens to the log a process of its own.
//! - [`vectors`] reads the recordings of the reference (go-libp2p's resource manager).
//!
//! The crate is not published. It depends on the traits of `rcmgr-core` and on no engine.
#![forbid(unsafe_code)]

mod model;
mod op;
mod own_process;
mod random;
mod session;
mod usage;
pub mod vectors;

pub use model::{HandleFacts, Model};
pub use op::{On, Op, Remote, Wish};
pub use own_process::passed_in_own_process;
pub use random::{Kind, RandomOps, random_limit, random_limits};
pub use session::{Engine, Handle, Session};
pub use usage::{Usage, usage};
