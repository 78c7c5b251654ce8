//! The live view of the proxy, for a browser.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcmgr_config::reload::LimitsWatcher;
use rcmgr_guard::Counts;
use rcmgr_metrics::{Observer, ProgramCounter, http};

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
        let (files, counters) = (Arc::clone(proxy), Arc::clone(proxy));
        let observer = observer
            .limits_file_in_force(move || files.limits_file())
            .program("listener", move || of_listeners(&counters.counts()));
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        tokio::spawn(axum::serve(listener, http::router(observer)).into_future());
        Ok(())
    }
}

/// The counters with a value for each listener.
fn of_listeners(listeners: &[(SocketAddr, Counts)]) -> Vec<ProgramCounter> {
    let mut counters: Vec<ProgramCounter> = Vec::new();
    for (address, counts) in listeners {
        for (at, count) in counts.each().enumerate() {
            if at == counters.len() {
                counters.push(ProgramCounter {
                    metric: count.metric,
                    title: count.name,
                    help: count.help,
                    is_gauge: count.is_gauge(),
                    values: Vec::new(),
                });
            }
            counters[at].values.push((address.to_string(), count.value));
        }
    }
    counters
}
