//! Requests to the routers, without a network.

// Each test uses some of these.
#![allow(dead_code)]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use rcmgr_atomic::{Direction, Limits, Manager, Priority, Stream};
use rcmgr_metrics::{Observer, http};
use serde_json::Value;
use tower::ServiceExt;

pub fn manager(change: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    change(&mut limits);
    Manager::new(limits).unwrap()
}

pub fn view(manager: &Manager) -> Router {
    http::router(Observer::new(manager.clone()))
}

pub fn stream(manager: &Manager, peer: &str, protocol: &str, memory: u64) -> Stream {
    let peer = peer.parse().unwrap();
    let stream = manager.open_stream(&peer, Direction::Inbound).unwrap();
    stream.set_protocol(protocol).unwrap();
    stream.reserve_memory(memory, Priority::Always).unwrap();
    stream
}

pub async fn send(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

pub async fn get(router: &Router, path: &str) -> Response<Body> {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

pub async fn text(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

pub async fn json(router: &Router, path: &str) -> Value {
    let response = get(router, path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    serde_json::from_str(&text(response).await).unwrap()
}

/// The names of the scopes of an answer, in order.
pub fn names(page: &Value) -> Vec<&str> {
    let scopes = page["scopes"].as_array().unwrap().iter();
    scopes
        .map(|scope| scope["name"].as_str().unwrap())
        .collect()
}

pub const TOML: &str = "application/toml";

/// A request to set limits.
pub fn put(token: Option<&str>, form: &str, file: impl Into<Body>) -> Request<Body> {
    let mut request = Request::put("/limits").header(header::CONTENT_TYPE, form);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token);
    }
    request.body(file.into()).unwrap()
}
