//! The vocabulary of rcmgr, a network resource manager: scopes and what they use, limits, errors,
//! and the traits that an engine implements and a server is written against.
//!
//! It also has limits in files and what is decided by address alone, which are the same for every
//! engine. [`rcmgr-atomic`](https://docs.rs/rcmgr-atomic) is the engine, and
//! [`NullResourceManager`] the stand-in that accepts everything.
//!
//! | to learn about | see |
//! | --- | --- |
//! | what is counted | [`ScopeStat`], [`Direction`], [`UsesFd`] |
//! | how much is allowed | [`Limit`] for one scope, [`Limits`] for all, [`Priority`] |
//! | how much to allow | [`Budget`], [`ScalingLimits`] for a [`Machine`], [`PartialLimits`] in a [`LimitsFile`], what a [`Warning`] says |
//! | who is asked | [`ScopeName`], [`ScopeClass`] |
//! | why it was refused | [`Error`] |
//! | limits by remote address | [`address`] |
//! | writing a server | [`ResourceManager`], [`ResourceScope`], [`ConnectionScope`], [`StreamScope`] |
//! | choosing an engine at run time | [`dynamic`], [`global`] |
#![cfg_attr(
    feature = "reload",
    doc = "| limits that follow a file | [`reload`], by the default feature of that name |"
)]
#![forbid(unsafe_code)]

pub mod address;
#[doc(hidden)]
pub mod brief_lock;
mod clock;
mod direction;
pub mod dynamic;
mod endpoint;
mod error;
pub mod global;
mod guard;
mod limit;
mod limits;
mod manager;
mod name;
mod null;
mod peer_id;
mod priority;
mod refusals;
#[cfg(feature = "reload")]
pub mod reload;
mod resource;
mod scope;
mod stat;

pub use clock::{Clock, SystemClock};
pub use direction::{Direction, UsesFd};
pub use endpoint::Endpoint;
pub use error::{BadConfiguration, Error, LimitExceeded, RateLimitExceeded, SubnetLimitExceeded};
pub use guard::MemoryGuard;
pub use ipnet;
pub use limit::{Limit, LimitValue};
pub use limits::{
    Budget, ByteSize, ByteSizeError, LimitIncrease, Limits, LimitsFile, LimitsKey, Machine,
    PartialLimit, PartialLimits, PerScope, ScalingLimit, ScalingLimits, Warning, WarningKind,
};
pub use manager::{ConnectionScope, ResourceManager, ScopeSpan, StreamScope};
pub use multiaddr;
pub use name::{ScopeClass, ScopeId, ScopeName, SpanIds};
pub use null::{NullConnection, NullResourceManager, NullScope, NullStream};
pub use peer_id::{PeerId, PeerIdError};
pub use priority::Priority;
pub use refusals::Refusals;
pub use resource::Resource;
pub use scope::ResourceScope;
pub use stat::{ManagerStat, ScopeStat};

/// 1024 bytes.
pub const KIB: u64 = 1 << 10;
/// 1024 [`KIB`].
pub const MIB: u64 = 1 << 20;
/// 1024 [`MIB`].
pub const GIB: u64 = 1 << 30;

/// What everything that can be refused returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
