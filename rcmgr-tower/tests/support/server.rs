//! Servers of axum and tonic behind guarded listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::routing::{get, post};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_tokio::Guarded;
use rcmgr_tower::RequestScopes;
use rcmgr_tower::axum::{Listener, with_connections};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server as Tonic;

use super::grpc::Echo;
use super::{all_released, within};

/// A server that runs.
pub struct Server {
    pub addr: SocketAddr,
    pub manager: Manager,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A manager with limits that a test sets.
pub fn manager(set: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    set(&mut limits);
    Manager::new(limits).expect("the limits are valid")
}

/// The guarded listener of a test.
pub async fn listener(manager: &Manager) -> (Guarded<TcpListener>, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").await;
    let socket = socket.expect("there is a free port");
    let addr = socket.local_addr().expect("it is bound");
    (Guarded::new(socket, manager.clone()).service("web"), addr)
}

impl Server {
    /// Serves an app by axum.
    pub async fn axum(manager: &Manager, app: Router) -> Self {
        let (guarded, addr) = listener(manager).await;
        Self::axum_on(guarded, addr, manager, app)
    }

    /// Serves an app by axum on a listener.
    pub fn axum_on(
        guarded: Guarded<TcpListener>,
        addr: SocketAddr,
        manager: &Manager,
        app: Router,
    ) -> Self {
        let app = with_connections(app);
        let stop = CancellationToken::new();
        let serve = axum::serve(Listener::new(guarded), app)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        Self {
            addr,
            manager: manager.clone(),
            stop,
            task: tokio::spawn(async move { serve.await.expect("it accepts") }),
        }
    }

    /// Serves calls by tonic.
    pub async fn tonic(manager: &Manager, layer: RequestScopes, echo: Echo) -> Self {
        let (guarded, addr) = listener(manager).await;
        let stop = CancellationToken::new();
        let serve = Tonic::builder()
            .layer(layer)
            .add_service(echo)
            .serve_with_incoming_shutdown(
                rcmgr_tower::tonic::incoming(guarded),
                stop.clone().cancelled_owned(),
            );
        Self {
            addr,
            manager: manager.clone(),
            stop,
            task: tokio::spawn(async move { serve.await.expect("it accepts") }),
        }
    }

    /// Waits until everything is given back while the server still runs, and stops it.
    pub async fn ends_with_nothing_in_use(self) {
        all_released(&self.manager).await;
        self.stop.cancel();
        within("the end of the server", self.task)
            .await
            .expect("the server does not panic");
    }
}

/// An app with these routes:
///
/// | path | answer |
/// | --- | --- |
/// | GET `/` | `hello` |
/// | GET `/wait` | `done`, once `go` has a permit |
/// | POST `/upload` | the length of the body |
/// | POST `/hold` | the length of the body, once `go` has a permit; the body is held that long |
/// | POST `/unread` | `hello`, without reading the body |
pub fn app(go: Arc<Semaphore>) -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/wait", get(wait))
        .route(
            "/upload",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/hold", post(hold))
        .route("/unread", post(|_: Body| async { "hello" }))
        // The budget of the layer is the only limit.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(go)
}

async fn wait(State(go): State<Arc<Semaphore>>) -> &'static str {
    go.acquire().await.expect("it is open").forget();
    "done"
}

async fn hold(State(go): State<Arc<Semaphore>>, body: Bytes) -> String {
    go.acquire().await.expect("it is open").forget();
    body.len().to_string()
}
