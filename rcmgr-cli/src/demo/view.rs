//! The live view of the demo, for a browser.

use std::io;
use std::net::SocketAddr;

use rcmgr_atomic::Manager;
use rcmgr_metrics::{Observer, http};
use tokio::net::TcpListener;

/// Serves the view of the manager until the runtime ends. Returns the address that `address`, a
/// host and a port, stands for.
pub async fn serve(address: &str, manager: &Manager) -> io::Result<SocketAddr> {
    let failed = |error: io::Error| {
        let reason = format!("cannot serve the live view on {address}: {error}");
        io::Error::new(error.kind(), reason)
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let served = listener.local_addr().map_err(failed)?;
    let router = http::router(Observer::new(manager.clone()));
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(served)
}
