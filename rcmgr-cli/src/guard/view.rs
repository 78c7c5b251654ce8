//! The live view of the proxy, for a browser.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcmgr_config::reload::LimitsWatcher;
use rcmgr_metrics::{Observer, http};

use super::in_force::InForce;

/// A view that listens, and is not served yet.
#[derive(Debug)]
pub struct View {
    listener: TcpListener,
    address: SocketAddr,
}

impl View {
    pub fn listen(on: SocketAddr) -> io::Result<Self> {
        let listen = || {
            let listener = TcpListener::bind(on)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        listen().map_err(|error: io::Error| {
            let reason = format!("cannot serve the live view on {on}: {error}");
            io::Error::new(error.kind(), reason)
        })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the view until the runtime ends. Must be called in a runtime.
    pub fn serve(self, proxy: &Arc<InForce>, watcher: &Arc<LimitsWatcher>) -> io::Result<()> {
        let host = match self.address.ip().is_unspecified() {
            // On all addresses of this machine, which can have any name.
            true => "*".to_owned(),
            false => self.address.to_string(),
        };
        let observer = Observer::new(proxy.manager().clone())
            .name("rcmgr guard")
            .host(host)
            .watcher(Arc::clone(watcher));
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        tokio::spawn(axum::serve(listener, http::router(observer)).into_future());
        Ok(())
    }
}
