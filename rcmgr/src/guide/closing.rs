//! Close a server.
//!
//! After `close` nothing new is granted: no connection, no stream. Open connections and streams proceed.
//! The server can wait for them, with a deadline:
//!
//! ```
//! use std::time::Duration;
//!
//! use rcmgr::prelude::*;
//!
//! let manager = Manager::new(Limits::unlimited())?;
//! let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
//!
//! manager.close();
//! let refused = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
//! assert!(!refused.unwrap_err().is_temporary()); // no retry will help
//!
//! drop(connection); // elsewhere, when its client has finished
//! match manager.wait_until_released(Duration::from_secs(30)) {
//!     Ok(()) => println!("everything is released"),
//!     Err(left) => println!("after 30 s still open: {}", left.system),
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! `wait_until_released` blocks its thread. In async code, call it from a thread for blocking work, such
//! as tokio's `spawn_blocking`.
//!
//! The example `graceful_close` shows the deadline, too.
