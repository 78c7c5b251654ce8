//! Handle a refusal.
//!
//! An [`Error`](crate::Error) says which scope refused, which limit, how much was asked for and how
//! much is in use: in fields, and in one line of text.
//!
//! ```
//! use rcmgr::Resource;
//! use rcmgr::prelude::*;
//!
//! let mut limits = Limits::unlimited();
//! limits.system.conns_inbound = 1.into();
//! let manager = Manager::new(limits)?;
//! let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
//!
//! let first = open()?;
//! let refused = open().unwrap_err();
//! assert_eq!(
//!     refused.to_string(),
//!     "system refused 1 inbound connection: 1 of 1 in use",
//! );
//! if let Error::LimitExceeded(reason) = &refused {
//!     assert_eq!(reason.resource, Resource::ConnsInbound);
//!     assert_eq!((reason.requested, reason.used), (1, 1));
//! }
//!
//! // The refusal left nothing behind. When there is room again, the same call is granted.
//! assert!(refused.is_temporary());
//! drop(first);
//! let second = open()?;
//! # drop(second);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How to react:
//!
//! - **A connection or stream that the remote opened**: close it. The remote can try again.
//! - **Work of your own**, such as dialling out: if
//!   [`is_temporary`](crate::Error::is_temporary) says so, try again, and wait longer after each
//!   refusal. Other errors stay: the scope is closed, or attached already. Async code can wait for
//!   room in a fair queue instead:
//!   [`reserve_when_available`](crate::Connection::reserve_when_available),
//!   [`open_stream_when_available`](crate::Manager::open_stream_when_available). While others wait,
//!   a request that does not is refused with [`WaitersFirst`](crate::Error::WaitersFirst).
//! - **Memory**: read less, or stop reading until something was released. The remote then notices by
//!   flow control.
//!
//! A refusal allocates nothing, so refusing stays cheap in a flood. Its text does allocate: in a flood,
//! count refusals instead of logging each one. See [`watching`](super::watching).
