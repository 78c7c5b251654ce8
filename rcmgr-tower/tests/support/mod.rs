//! Servers for the tests, and clients that do what browsers and libraries do not.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod grpc;
pub mod http1;
pub mod http2;
pub mod server;

use std::future::Future;
use std::time::Duration;

use rcmgr_atomic::{Manager, ManagerStat};
use rcmgr_core::ScopeStat;

/// The longest time that a test waits for something that must happen. The machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `condition` is true.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(what, wait).await;
}

/// The output of a future that must end.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Waits until nothing is in use.
pub async fn all_released(manager: &Manager) {
    let wait = async {
        while !is_zero(&manager.stat()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(DEADLINE, wait).await.is_err() {
        panic!("still in use after {DEADLINE:?}:\n{}", manager.stat());
    }
}

fn is_zero(stat: &ManagerStat) -> bool {
    let scopes = [
        &stat.system,
        &stat.transient,
        &stat.allowlisted_system,
        &stat.allowlisted_transient,
    ];
    let named = stat.services.values().chain(stat.protocols.values());
    let mut all = scopes.into_iter().chain(named).chain(stat.peers.values());
    all.all(ScopeStat::is_zero)
}
