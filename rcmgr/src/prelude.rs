//! The names that a server needs to open connections and streams, reserve memory and set limits.
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! let limits = Budget { memory: 512 * MIB, fds: 4096 }.limits();
//! let manager = Manager::new(limits)?;
//! # let _ = manager;
//! # Ok::<(), Error>(())
//! ```

#[cfg(feature = "address")]
pub use crate::address::AddressConfig;
pub use crate::{
    Budget, Connection, ConnectionScope, Direction, Endpoint, Error, GIB, KIB, Limit, LimitValue,
    Limits, LimitsExt, MIB, Manager, PeerId, Priority, ResourceManager, ResourceScope, Scope,
    ScopeSpan, Service, Span, Stream, StreamScope, UsesFd,
};
