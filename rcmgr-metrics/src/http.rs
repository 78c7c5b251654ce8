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
//! | `/` | a page: what is refused now, and the scopes as a tree, those closest to a limit first |
//! | `/?scope=NAME` | the page of one scope: usage, peaks, limits, and where each limit comes from |
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
//! # Hosts
//!
//! A request for a host other than `localhost`, a name that ends in `.localhost`, or a loopback
//! address gets status 403. Otherwise a page of any site could read the view in the browser of
//! someone on this machine, by letting its own name point to 127.0.0.1 (DNS rebinding). If the view
//! has another name or address, also for a Prometheus server that scrapes `/metrics`, allow it with
//! [`Observer::host`].
//!
//! # The JSON
//!
//! | argument | effect |
//! | --- | --- |
//! | `sort` | `utilisation` (the default), `memory`, `streams`, `conns`, `refusals`: highest first; or `name` |
//! | `search` | only scopes whose name contains this text, ignoring case |
//! | `scope` | this scope in detail, and only the scopes below it: the shares of a service, protocol or peer |
//! | `offset`, `limit` | the number of scopes to skip, and to return: 100 by default, at most 1000 |
//!
//! Other arguments, invalid values, and arguments that are given twice get status 400 and a sentence
//! that says what is wrong.
//!
//! ```json
//! {
//!   "name": "echo", "uptime_seconds": 86400.5, "over_releases": 0,
//!   "reload": {"file": "/etc/limits.toml", "reloads": 3, "failures": 0, "error": null},
//!   "addresses": {"refused_by_rate": 12, "refused_by_subnet": 0, "permits": 80, "...": 0},
//!   "dry_run": {"refusals": {"memory": 5, "...": 0}, "addresses": null},
//!   "program": {"label": "listener", "parts": [{"name": "0.0.0.0:80", "counters": {"open": 12}}]},
//!   "total": 1042, "matched": 2, "offset": 0,
//!   "refusing": {"seconds": 2.0, "now": [{
//!     "scope": "peer:192.0.2.7", "class": "peer", "scopes": 1, "resource": "streams-inbound",
//!     "count": 24, "per_second": 12.0, "setting": "PeerDefault.StreamsInbound",
//!     "used": 256, "limit": 256
//!   }]},
//!   "waiting": [{
//!     "scope": "peer:192.0.2.7", "class": "peer", "resource": "memory",
//!     "requests": 3, "amount": 196608, "longest_seconds": 0.25
//!   }],
//!   "waiting_queues": 1, "waiting_requests": 3,
//!   "wait_totals": {"begun": 12, "granted": 8, "refused": 0, "given_up": 1, "waited_seconds": 1.5},
//!   "scope": null,
//!   "system": {"name": "system", "...": 0}, "transient": {"name": "transient", "...": 0},
//!   "scopes": [{
//!     "name": "service:dht.peer:192.0.2.7", "class": "service-peer", "parent": "service:dht",
//!     "utilisation": 0.5, "fullest": "memory",
//!     "used": {"memory": 8388608, "fd": 0, "streams-inbound": 3, "...": 0},
//!     "peak": {"memory": 9000000, "...": 0},
//!     "limit": {"memory": 16777216, "fd": "unlimited", "streams": 256, "...": 0},
//!     "refusals": {"memory": 2, "...": 0},
//!     "dry_run_refusals": {"memory": 5, "...": 0}
//!   }]
//! }
//! ```
//!
//! | key | meaning |
//! | --- | --- |
//! | `name`, `uptime_seconds` | the [name](Observer::name) of the server, and the time since the observer was created |
//! | `over_releases` | the number of releases of more than was held: a bug of the program |
//! | `reload` | the state of the limits file of the [watcher](Observer::watcher), with the reason if the file is not in force; `null` without a watcher |
//! | `addresses` | the counters of [`AddressStat`](rcmgr_atomic::address::AddressStat), and `most_refused`: up to ten networks with the number of connections that were refused `by_rate` and `by_subnet` |
//! | `dry_run`, `dry_run_refusals` | what the limits of a [dry run](rcmgr_atomic::Builder::dry_run) would have refused, by all scopes and by this one; without a dry run `null`, and left out of scopes |
//! | `program` | the [counters of the program](Observer::program) that are not zero, for each of its parts; `null` without them |
//! | `total`, `matched` | the number of all scopes, and of those that the search found |
//! | `refusing` | what was refused since the reading before, which was `seconds` ago: up to 20 scopes with the highest rate, and a row without `scope` for all others of a class, also those that no longer exist. The class `address` is the limiter that `setting` names. `seconds` is `null` if there was no reading in the last minute |
//! | `waiting` | the requests that wait for room now, for each scope and resource: up to 20 queues whose first request has waited longest. A scope in detail has its own `waiting`, with those of its spans |
//! | `waiting_queues`, `waiting_requests` | the number of all queues, and of the requests in them |
//! | `wait_totals` | the waits so far, of all scopes: how many have begun; how many have ended with a grant, with an error, and because they were given up; and the time that all ended waits took together |
//! | `setting` | the field of the limits to change; `null` for an override of the scope, and if it is not known |
//! | `utilisation` | usage divided by the limit, for the fullest limit (`fullest`); `null` for a scope without limits |
//! | `scope` | the scope that the argument names, and its `origins`: for each limit the `setting` and the place that it comes `from`; `null` if it does not exist now |
//! | `system`, `transient` | these two scopes, independent of the search |
//!
//! Long names are cut, as in [metrics](crate::prometheus).

mod counters;
mod far;
mod host;
mod limits;
mod names;
mod order;
mod origin;
mod program;
mod query;
mod refusing;
mod response;
mod scopes;
mod server;
mod turn;
mod waiting;

pub use limits::limits_router;

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::observer::Observer;
use host::Hosts;
use query::Query;
use response::{guarded, refused};
use scopes::View;
use turn::Turn;

/// The page in one piece, so that the policy can name its script and style by their hashes.
const PAGE: &str = concat!(
    include_str!("http/page/head.html"),
    include_str!("http/page/style.css"),
    include_str!("http/page/body.html"),
    include_str!("http/page/script.js"),
    include_str!("http/page/end.html"),
);

/// Allows only the page's own script and style, by their hashes, and nothing from other hosts.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-pYowZU38tHu+7gOVt0hbA98qbfIVyrFKhrTNMI8/WFA='; \
    style-src 'sha256-yOEQvrHxhG8hiXw83K5uwdlbczLZZWZzErc8jM8MOO4='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The format of prometheus-client.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes of the live view.
pub fn router(observer: Observer) -> Router {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(observer.clone()));
    let hosts = Arc::new(Hosts::new(&observer.hosts));
    let served = Served {
        view: View::new(observer),
        registry,
        turn: Turn::new(),
    };
    Router::new()
        .route("/", get(page))
        .route("/rcmgr.json", get(json))
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(hosts, host::check))
        .with_state(Arc::new(served))
}

struct Served {
    view: View,
    registry: Registry,
    /// One request at a time reads the manager.
    turn: Turn,
}

impl Served {
    /// Reads the manager on a thread for blocking work.
    async fn read<T: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StatusCode> {
        let turn = self.turn.clone();
        turn.run(move || read(&self)).await
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

async fn json(State(served): State<Arc<Served>>, RawQuery(query): RawQuery) -> Response {
    let query = match Query::parse(query.as_deref().unwrap_or_default()) {
        Ok(query) => query,
        Err(bad) => return refused(StatusCode::BAD_REQUEST, &bad),
    };
    let read = served.read(move |served| {
        let page = scopes::page(&served.view, &query);
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

async fn metrics(State(served): State<Arc<Served>>) -> Response {
    let read = served.read(|served| {
        let mut text = String::new();
        encode(&mut text, &served.registry)
            .map(|()| text)
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    });
    match read.await.and_then(|written| written) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], guarded(text)).into_response(),
        Err(status) => status.into_response(),
    }
}
