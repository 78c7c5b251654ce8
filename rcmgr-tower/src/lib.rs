//! Layers for tower, axum and tonic: a budget of memory over requests and their bodies.

#![forbid(unsafe_code)]

mod body;
mod budget;
mod layer;
mod priority;
mod refusal;
mod retry_after;
mod service;
mod span;

pub use body::{RequestBody, ResponseBody};
pub use budget::BodyBudget;
pub use layer::RequestScopes;
pub use refusal::Refusal;
pub use service::{RequestScopesService, ResponseFuture};
pub use span::RequestSpan;
