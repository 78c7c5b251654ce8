//! The live view of a manager, in a browser and as JSON, with the feature `http`.
//!
//! [`router`] returns an [`axum::Router`] that you mount in your server:
//!
//! ```no_run
//! use rcmgr_atomic::{Manager, Limits};
//! use rcmgr_config::LimitsExt;
//! use rcmgr_metrics::{Observer, http};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = Manager::new(Limits::auto_scale())?;
//! let router = http::router(Observer::new(manager));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:7070").await?;
//! axum::serve(listener, router).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | path | content |
//! | --- | --- |
//! | `/` | a page: the scopes as a tree with bars, those closest to a limit first |
//! | `/rcmgr.json` | the same data as JSON: see below |
//! | `/metrics` | the metrics for Prometheus |
//!
//! The view is read-only, but it shows who is connected. Mount it where only the operators of the
//! server have access, and behind the usual authentication. To set limits over HTTP there is
//! [`limits_router`], which is mounted separately and needs a token.
//!
//! Reading a manager with very many peers takes time. It runs on a thread for blocking work, one
//! request at a time.
//!
//! # The JSON
//!
//! | argument | effect |
//! | --- | --- |
//! | `sort` | `utilisation` (the default), `memory`, `streams`, `conns`, `refusals`: highest first; or `name` |
//! | `search` | only scopes whose name contains this text, ignoring case |
//! | `offset`, `limit` | the number of scopes to skip, and to return: 100 by default, at most 1000 |
//!
//! Other arguments and invalid values get status 400 and a sentence that says what is wrong.
//!
//! ```json
//! {
//!   "total": 1042, "matched": 2, "offset": 0,
//!   "system": {"name": "system", "...": 0}, "transient": {"name": "transient", "...": 0},
//!   "scopes": [{
//!     "name": "service:dht.peer:192.0.2.7", "class": "service-peer", "parent": "service:dht",
//!     "utilisation": 0.5, "fullest": "memory",
//!     "used": {"memory": 8388608, "fd": 0, "streams-inbound": 3, "...": 0},
//!     "peak": {"memory": 9000000, "...": 0},
//!     "limit": {"memory": 16777216, "fd": "unlimited", "streams": 256, "...": 0},
//!     "refusals": {"memory": 2, "...": 0}
//!   }]
//! }
//! ```
//!
//! `utilisation` is usage divided by the limit, for the fullest limit (`fullest`), and `null` for a
//! scope without limits. `system` and `transient` are these two scopes, independent of the search.
//! Long names are cut, as in [metrics](crate::prometheus).

mod limits;
mod query;
mod response;
mod scopes;

pub use limits::limits_router;

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::observer::Observer;
use query::Query;
use response::{guarded, refused};

const PAGE: &str = include_str!("http/page.html");

/// Allows only the page's own script and style, by their hashes, and nothing from other hosts.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-2Op6lEBYYoDpGwO2I9ZAe5oUHSpZeH7ipMehg6ly4V8='; \
    style-src 'sha256-3jzrfRsrDZcYWhm5sDqHT88vf/9f+3+LL2H/lXMyjik='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The format of prometheus-client.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes of the live view.
pub fn router(observer: Observer) -> Router {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(observer.clone()));
    let view = View {
        observer,
        registry,
        turn: Arc::new(Semaphore::new(1)),
    };
    Router::new()
        .route("/", get(page))
        .route("/rcmgr.json", get(json))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(view))
}

struct View {
    observer: Observer,
    registry: Registry,
    /// The permit to read the manager: one request at a time has it.
    turn: Arc<Semaphore>,
}

impl View {
    /// Reads the manager on a thread for blocking work.
    async fn read<T: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StatusCode> {
        let failed = StatusCode::INTERNAL_SERVER_ERROR;
        let turn = self.turn.clone().acquire_owned();
        let turn = turn.await.map_err(|_| failed)?;
        let reading = tokio::task::spawn_blocking(move || {
            // Held until the reading ends, even if the client has disconnected.
            let _turn = turn;
            read(&self)
        });
        reading.await.map_err(|_| failed)
    }
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, guarded(PAGE)).into_response()
}

async fn json(State(view): State<Arc<View>>, RawQuery(query): RawQuery) -> Response {
    let query = match Query::parse(query.as_deref().unwrap_or_default()) {
        Ok(query) => query,
        Err(bad) => return refused(StatusCode::BAD_REQUEST, &bad),
    };
    let read = view.read(move |view| {
        let page = scopes::page(&view.observer.manager, &query);
        let mut json = Vec::new();
        crate::json::write(&mut json, &page)
            .map(|()| json)
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    });
    let json = match read.await.and_then(|written| written) {
        Ok(json) => json,
        Err(status) => return status.into_response(),
    };
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (headers, guarded(json)).into_response()
}

async fn metrics(State(view): State<Arc<View>>) -> Response {
    let read = view.read(|view| {
        let mut text = String::new();
        encode(&mut text, &view.registry)
            .map(|()| text)
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    });
    match read.await.and_then(|written| written) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], guarded(text)).into_response(),
        Err(status) => status.into_response(),
    }
}
