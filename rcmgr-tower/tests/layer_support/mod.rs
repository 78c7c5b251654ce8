//! What the tests of the layer share.

#![allow(dead_code)] // Each test program uses a part of it.

use std::convert::Infallible;
use std::error::Error as StdError;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Empty, Full};
use rcmgr_atomic::{Connection, Direction, Endpoint, Limits, Manager, UsesFd};
use rcmgr_tokio::ConnScope;
use rcmgr_tower::RequestBody;

pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A body that the test sends frame by frame.
pub type SentBody = Channel<Bytes, BoxError>;

/// The other end of it.
pub type BodySender = Sender<Bytes, BoxError>;

/// A body, and the end that sends its frames.
pub fn sent_body() -> (BodySender, SentBody) {
    Channel::new(1000)
}

/// Unlimited, but for what `change` changes.
pub fn manager(change: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    change(&mut limits);
    Manager::new(limits).expect("the limits are right")
}

/// A manager whose system scope has this much memory.
pub fn manager_of(system_memory: u64) -> Manager {
    manager(|limits| limits.system.memory = system_memory.into())
}

pub fn connection(manager: &Manager) -> ConnScope {
    let opened: Connection = manager
        .open_connection(Direction::Inbound, UsesFd::No, Endpoint::None)
        .expect("there is room for a connection");
    opened.into()
}

pub fn memory(manager: &Manager) -> u64 {
    manager.stat().system.memory
}

/// A request without a body.
pub fn get() -> Request<Empty<Bytes>> {
    Request::new(Empty::new())
}

/// A request with a body, and without `Content-Length`.
pub fn post<B>(body: B) -> Request<B> {
    Request::post("/upload")
        .body(body)
        .expect("it is a request")
}

/// A request with a body that declares this length.
pub fn post_of<B>(length: impl ToString, body: B) -> Request<B> {
    let declared = Request::post("/upload").header(header::CONTENT_LENGTH, length.to_string());
    declared.body(body).expect("it is a request")
}

/// A handler that collects the body, and answers with its length.
pub async fn collect<B>(request: Request<RequestBody<B>>) -> Result<Response<Full<Bytes>>, BoxError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let collected = request.into_body().collect().await?.to_bytes();
    Ok(text(collected.len()))
}

/// A handler that answers at once.
pub async fn answer<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(text("hello"))
}

pub fn text(text: impl ToString) -> Response<Full<Bytes>> {
    Response::new(Full::new(text.to_string().into()))
}

pub fn header_of<B>(response: &Response<B>, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// The whole text of a response.
pub async fn read<B>(response: Response<B>) -> String
where
    B: Body,
    B::Error: std::fmt::Debug,
{
    let collected = response.into_body().collect().await.expect("it has an end");
    String::from_utf8(collected.to_bytes().to_vec()).expect("it is text")
}

/// So many bytes.
pub fn bytes(length: usize) -> Bytes {
    vec![b'x'; length].into()
}
