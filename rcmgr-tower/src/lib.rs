//! Layers for tower, axum and tonic: a budget of memory over requests and their bodies.

#![forbid(unsafe_code)]

#[cfg(feature = "axum")]
pub mod axum;
mod body;
mod budget;
mod conn_info;
mod grpc;
mod io;
mod layer;
mod priority;
mod refusal;
mod requests;
mod retry_after;
mod service;
mod span;
#[cfg(feature = "tonic")]
pub mod tonic;

pub use body::{RequestBody, ResponseBody};
pub use budget::BodyBudget;
pub use conn_info::ConnInfo;
pub use grpc::grpc_message;
pub use io::Io;
pub use layer::RequestScopes;
pub use refusal::Refusal;
pub use service::{RequestScopesService, ResponseFuture};
pub use span::RequestSpan;
