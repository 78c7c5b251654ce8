//! The vocabulary of rcmgr, a network resource manager: scopes and their usage, limits, errors, and
//! the traits that an engine implements and a server uses.
//!
//! This crate reads no files, no clock and no properties of the machine.
//! [`rcmgr-atomic`](https://docs.rs/rcmgr-atomic) is the engine. [`NullResourceManager`] is a
//! stand-in that accepts everything.
//!
//! | to learn about | see |
//! | --- | --- |
//! | usage | [`ScopeStat`], [`Direction`], [`UsesFd`] |
//! | limits | [`Limit`] for one scope, [`Limits`] for all, [`Priority`] |
//! | limits by remote address | [`address`] |
//! | names of scopes | [`ScopeName`], [`ScopeClass`] |
//! | names from the network in messages | [`shown`] |
//! | reasons for a refusal | [`Error`] |
//! | writing a server | [`ResourceManager`], [`ResourceScope`], [`ConnectionScope`], [`StreamScope`] |
//! | choosing an engine at run time | [`dynamic`], [`global`] |
//!
//! Limits from files, budgets and presets are in `rcmgr-config`. The limiters by
//! remote address are in `rcmgr-address`.
#![forbid(unsafe_code)]

pub mod address;
mod amount;
mod bad_configuration;
mod clock;
mod direction;
pub mod dynamic;
mod endpoint;
mod error;
pub mod global;
mod limit;
mod limit_field;
mod limits;
mod limits_key;
mod manager;
mod name;
mod null;
mod peer_id;
mod priority;
mod refusals;
mod resource;
mod scope;
mod shown;
mod stat;

pub use address::{AddressConfig, AddressLimits, canonical_ip};
pub use amount::Amount;
pub use bad_configuration::BadConfiguration;
pub use clock::Clock;
pub use direction::{Direction, UsesFd};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{
    Error, LimitExceeded, QueueFull, RateLimitExceeded, SubnetLimitExceeded, WaitersFirst,
};
pub use ipnet;
#[cfg(feature = "libp2p-identity")]
pub use libp2p_identity;
pub use limit::{Limit, LimitValue};
pub use limit_field::LimitField;
pub use limits::Limits;
pub use limits_key::LimitsKey;
pub use manager::{ConnectionScope, ResourceManager, StreamScope};
#[cfg(feature = "multiaddr")]
pub use multiaddr;
pub use name::{ScopeClass, ScopeId, ScopeName, SpanIds};
pub use null::{NullConnection, NullResourceManager, NullScope, NullStream};
pub use peer_id::{PeerId, PeerIdError};
pub use priority::Priority;
pub use refusals::Refusals;
pub use resource::Resource;
pub use scope::{MemoryGuard, ResourceScope, ScopeSpan};
pub use shown::{Shown, shown};
pub use stat::{ManagerStat, ScopeStat};

/// 1024 bytes.
pub const KIB: u64 = 1 << 10;
/// 1024 [`KIB`].
pub const MIB: u64 = 1 << 20;
/// 1024 [`MIB`].
pub const GIB: u64 = 1 << 30;

/// The result of every operation that can be refused.
pub type Result<T, E = Error> = std::result::Result<T, E>;
