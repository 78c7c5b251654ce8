//! The live view of the demo, for a browser.

use std::io;
use std::net::SocketAddr;

use rcmgr_atomic::Manager;
use rcmgr_config::LimitsFile;
use rcmgr_metrics::{Observer, http};
use tokio::net::TcpListener;

/// Serves the view of the manager until the runtime ends. Returns the address that `address`, a
/// host and a port, stands for.
///
/// The view shows the lines of the limits in `file`, if there is one.
pub async fn serve(
    address: &str,
    manager: &Manager,
    file: Option<LimitsFile>,
) -> io::Result<SocketAddr> {
    let failed = |error: io::Error| {
        let reason = format!("cannot serve the live view on {address}: {error}");
        io::Error::new(error.kind(), reason)
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let served = listener.local_addr().map_err(failed)?;
    let host = match served.ip().is_unspecified() {
        // On all addresses of this machine, which can have any name.
        true => "*",
        false => address,
    };
    let observer = Observer::new(manager.clone()).name("rcmgr demo").host(host);
    let observer = match file {
        Some(file) => observer.limits_file(file),
        None => observer,
    };
    let router = http::router(observer);
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(served)
}
