//! The handles of users: on the manager, connections, streams, scopes, spans and services.

mod builder;
mod connection;
mod inherent;
mod leaf_handle;
mod manager;
mod manager_methods;
mod scope;
mod service;
mod show;
mod span;
mod stream;
mod wait;

pub use builder::Builder;
pub use connection::Connection;
pub use manager::{Manager, ScopeReport};
pub use scope::Scope;
pub use service::Service;
pub use span::Span;
pub use stream::Stream;
pub use wait::{
    OpenConnectionWhenAvailable, OpenStreamWhenAvailable, ReserveWhenAvailable, WaitTotals, Waiting,
};
