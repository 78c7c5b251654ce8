//! The live view: what a manager does, in a browser and as JSON, by the feature `http`.
//!
//! [`router`] is an [`axum::Router`], to be mounted in whatever server there is:
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
//! | path | what is there |
//! | --- | --- |
//! | `/` | a page: the scopes as a tree with bars, those nearest to a limit first |
//! | `/rcmgr.json` | the same as JSON: see below |
//! | `/metrics` | what Prometheus scrapes |
//!
//! It changes nothing, but it tells who is connected: mount it where only those who run the server
//! get to, and behind whatever else asks for a password there. To set limits over HTTP there is
//! [`limits_router`], which is mounted by itself and asks for a token.
//!
//! A manager with very many peers takes a while to read: it is done on a thread for blocking work,
//! and one request at a time.
//!
//! # The JSON
//!
//! | argument | what it does |
//! | --- | --- |
//! | `sort` | `utilisation` (the default), `memory`, `streams`, `conns`, `refusals`: highest first; or `name` |
//! | `search` | only scopes whose name contains this, in whatever case |
//! | `offset`, `limit` | leaves out so many, and gives at most so many: 100 by default, at most 1000 |
//!
//! Other arguments and other values are answered with status 400 and a sentence.
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
//! `utilisation` is usage by limit, of the limit that is nearest (`fullest`), and `null` for a scope
//! without limits. `system` and `transient` are those two scopes, whatever was searched. Long names are
//! cut, as in [metrics](crate::prometheus).

mod limits;
mod query;
mod scopes;

pub use limits::limits_router;

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::Observer;
use query::Query;

const PAGE: &str = include_str!("http/page.html");

/// Nothing but the page's own script and style, by what is in them, and nothing from elsewhere.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-dIH1iRBZm8npVWcEh6zbisFBH7M6e6rermkCcat+RRk='; \
    style-src 'sha256-afY/1tFchXyfINVCsCuin/dHnEDIUYNNS1XuGrptTBs='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What prometheus-client writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The live view of what the observer sees.
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
    /// Of those who read the manager: one at a time, whatever is asked.
    turn: Arc<Semaphore>,
}

impl View {
    /// Reads the manager, off the threads that serve.
    async fn read<T: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StatusCode> {
        let failed = StatusCode::INTERNAL_SERVER_ERROR;
        let turn = self.turn.clone().acquire_owned();
        let turn = turn.await.map_err(|_| failed)?;
        let reading = tokio::task::spawn_blocking(move || {
            // Until it is read, whether anybody still waits for the answer or not.
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
        serde_json::to_string(&page).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
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

/// A body that is neither kept nor taken for something else.
fn guarded(body: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (headers, body)
}

/// A sentence that says what is wrong.
fn refused(status: StatusCode, why: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, headers, guarded(format!("{why}\n"))).into_response()
}
