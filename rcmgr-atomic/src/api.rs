//! The handles of users: on the manager, connections, streams, scopes, spans and services.

pub(crate) mod asker;
mod builder;
mod connection;
mod inherent;
mod kept_scopes;
mod leaf_handle;
mod manager;
mod manager_methods;
mod open_when_available;
mod open_with_memory;
mod opened_path;
mod reserve_when_available;
mod scope;
mod service;
mod show;
mod span;
mod stream;
mod waiting;

pub use builder::Builder;
pub use connection::Connection;
pub use kept_scopes::KeptScopes;
pub use manager::{Manager, ScopeReport};
pub use open_when_available::{OpenConnectionWhenAvailable, OpenStreamWhenAvailable};
pub use reserve_when_available::{CanWait, ReserveWhenAvailable};
pub use scope::Scope;
pub use service::Service;
pub use span::Span;
pub use stream::Stream;
pub use waiting::Waiting;
