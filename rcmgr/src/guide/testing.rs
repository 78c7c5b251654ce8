//! Test a server.
//!
//! Write the code against the traits. Then a test can pass
//! [`NullResourceManager`](crate::NullResourceManager), which grants everything, or a small
//! [`Manager`](crate::Manager), which refuses soon:
//!
//! ```
//! use rcmgr::NullResourceManager;
//! use rcmgr::prelude::*;
//!
//! /// The code to test: how many of these connections are accepted.
//! fn accept<M: ResourceManager>(manager: &M, remotes: &[Endpoint]) -> usize {
//!     let open = |remote| manager.open_connection(Direction::Inbound, UsesFd::Yes, remote).ok();
//!     remotes.iter().map_while(|&remote| open(remote)).collect::<Vec<_>>().len()
//! }
//!
//! let remotes = [Endpoint::None; 3];
//! assert_eq!(accept(&NullResourceManager, &remotes), 3);
//!
//! let mut limits = Limits::unlimited();
//! limits.system.conns_inbound = 2.into();
//! let manager = Manager::new(limits)?;
//! assert_eq!(accept(&manager, &remotes), 2);
//!
//! // Everything was released: a test of a server should end with this line.
//! assert!(manager.stat().system.is_zero());
//! # Ok::<(), Error>(())
//! ```
//!
//! - Limits of one or two make refusals easy to reach.
//! - [`Manager::over_releases`](crate::Manager::over_releases) counts releases of more than was held.
//!   It should stay zero.
//! - Rates depend on time. [`Builder::clock`](crate::Builder::clock) takes a clock that the test
//!   controls.
//! - [`dynamic`](crate::dynamic) has the traits as objects, for code that chooses its manager at run time.
