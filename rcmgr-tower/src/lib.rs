//! A layer for tower: a budget of memory over all requests of a server and their bodies.
//!
//! [`RequestScopes`] gives each request a span: a scope for all memory that is held for the request.
//! The span is a part of the scope of its connection, of a service, or of the system. So the limits
//! of these scopes hold for all their requests together. A request that finds no room is answered
//! with a status that says why.
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body::Body;
//! use http_body_util::{BodyExt, Full};
//! use rcmgr_atomic::{Limits, MIB, Manager};
//! use rcmgr_tower::{BodyBudget, RequestBody, RequestScopes};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! async fn upload<B>(request: Request<RequestBody<B>>) -> Result<Response<Full<Bytes>>, Infallible>
//! where
//!     B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
//! {
//!     // The chunks are charged on the span of the request as they arrive.
//!     let answer = match request.into_body().collect().await {
//!         Ok(body) => format!("{} bytes", body.to_bytes().len()),
//!         Err(refused) => refused.to_string(), // the layer answers in place of the handler
//!     };
//!     Ok(Response::new(answer.into()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut limits = Limits::unlimited();
//! limits.system.memory = (64 * MIB).into(); // for all requests together
//! let manager = Manager::new(limits)?;
//! let layer = RequestScopes::new(&manager)
//!     .body(BodyBudget::per_request(1 * MIB).wait(Duration::from_millis(200)));
//! let service = layer.layer(service_fn(upload));
//!
//! let small = Request::new(Full::new(Bytes::from("hello")));
//! assert_eq!(service.clone().oneshot(small).await?.status(), StatusCode::OK);
//! let large = Request::new(Full::new(Bytes::from(vec![0; 2_000_000])));
//! assert_eq!(service.oneshot(large).await?.status(), StatusCode::PAYLOAD_TOO_LARGE);
//! assert!(manager.stat().system.is_zero());
//! # Ok(())
//! # }
//! ```
//!
//! # How long memory is charged
//!
//! | memory | from | until |
//! | --- | --- | --- |
//! | of the request ([`memory_per_request`](RequestScopes::memory_per_request)) | its head | the span ends |
//! | of a body | a chunk arrives, before the handler gets it | the span ends |
//! | of a [`streamed`](BodyBudget::streamed) body | a chunk arrives, before the handler gets it | the handler asks for the next chunk, or drops the body |
//! | of [`RequestSpan::reserve`] | the call | the guard is dropped |
//!
//! The span ends with its last holder. The response holds it until its last byte, its trailers, or
//! until it is dropped. Each clone of the [`RequestSpan`] holds it, too: a task that goes on after the
//! response keeps one, and so does the task of a WebSocket. A refused body is given back at once.
//!
//! The memory of the request itself is held directly by the scope that the span is part of, and the span
//! opens when the request first needs more. So a refusal of that memory names the connection, the
//! service or the system, and a trace has spans only of requests that needed more.
//!
//! The body of the response is not charged. A handler that makes a large one reserves memory for it.
//!
//! # Refusals
//!
//! A refusal is an ordinary response, not an error of the service. So layers outside, such as those
//! for traces and metrics, see it, and find the [`Refusal`] in its extensions.
//!
//! | reason | HTTP | gRPC |
//! | --- | --- | --- |
//! | there is no room now | 503 with `Retry-After` | `UNAVAILABLE` with `grpc-retry-pushback-ms` |
//! | the body is over its budget, or larger than a limit | 413 | `RESOURCE_EXHAUSTED` |
//! | the body is too slow | 408 | `DEADLINE_EXCEEDED` |
//!
//! The metrics, the log and a trace of the manager have the first two as refusals of memory by a scope;
//! a body over its budget as one by a span. A body that is too slow is in none of them.
//!
//! A body is refused by its `Content-Length` before the handler runs, and before the client gets `100
//! Continue`. Otherwise it is refused by the first byte that goes over, whatever length was declared.
//! Then the body yields the [`Refusal`] as its error, and the layer answers whatever the handler makes
//! of that. Only if the head of the response has been sent, the handler is on its own.
//!
//! Over HTTP/1, a response to a request with an unread body closes the connection. Before that, the
//! server reads up to 64 KiB of what the client still sends, and waits up to 200 ms for its end, because
//! a connection that is reset could take the answer with it. It needs a tokio runtime with its timer
//! enabled.
//!
//! Other layers of this kind answer differently: axum's `DefaultBodyLimit` refuses bodies of more than
//! 2 MB on its own, so disable it where the budget is larger.
//!
//! # The order of layers
//!
//! - Layers for traces and metrics go outside of this layer: they see refusals.
//! - A decompression of requests goes outside of this layer: then the bytes are charged after they are
//!   inflated, and a small body that inflates to a large one is refused. To charge them as they arrive
//!   as well, put another `RequestScopes` around the decompression, and set
//!   [`memory_per_request`](RequestScopes::memory_per_request) of one of them to zero. The span of the
//!   inner one is a part of the span of the outer one.
//!
//! # Slow clients
//!
//! A client that sends a head slowly, or nothing, holds a connection, but no request: see
//! [`request_within`](Io::request_within). axum's own server waits for such a client for ever. A client
//! that sends a body slowly holds a request: see [`next_chunk_within`](BodyBudget::next_chunk_within) and
//! [`no_slower_than`](BodyBudget::no_slower_than).
//!
//! # Many requests on one connection
//!
//! Over HTTP/2, a connection may have very many requests at a time. Each is charged with
//! [`memory_per_request`](RequestScopes::memory_per_request), by default
//! [4 KiB](RequestScopes::MEMORY_PER_REQUEST). So the memory limit of a connection bounds their number:
//! 32 MiB are enough for 4,896 requests of the priority medium, which may use 60 % of it.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `axum` | a guarded listener for `axum::serve`, and the [`RequestSpan`] as an extractor |
//! | `tonic` | guarded connections for tonic, `NamedService`, and refusals as a `Status` |
//!
//! The layer works in any server on tower. For refusals as gRPC has them, see [`RequestScopes::grpc`].

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
