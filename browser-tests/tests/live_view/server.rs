//! A server of the live view that can be stopped and restarted.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use rcmgr_atomic::Manager;
use rcmgr_metrics::{Observer, http};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

/// Serves until it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(manager: &Manager) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), manager)
    }

    /// Starts at the address of an earlier server, which must be dropped before.
    pub fn at(address: SocketAddr, manager: &Manager) -> Self {
        let router = http::router(Observer::new(manager.clone()).name("echo server"));
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime needs little");
        let listener = runtime.block_on(TcpListener::bind(address));
        let listener = listener.unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    served = axum::serve(listener, router) => served.expect("it serves for ever"),
                    _ = stopped => {}
                }
            });
            // Open connections end with the runtime.
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have panicked.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the server panicked"
            );
        }
    }
}
