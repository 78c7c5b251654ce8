//! Workers with descriptor tables of their own. The tables begin as copies, so this is a process of
//! its own, whose only test starts the server first.

#![cfg(target_os = "linux")]

#[path = "server/support.rs"]
#[allow(dead_code)]
mod support;

use rcmgr_atomic::Limits;
use rcmgr_guard::Workers;

use support::{Echo, Proxy, echo, run};

const WORKERS: usize = 3;
const CLIENTS: usize = 90;

#[test]
fn each_worker_has_its_own_descriptors_and_the_process_holds_more_than_its_limit_of_them() {
    run(async || {
        // The limit of a table. The backend and the clients are in the table of the main thread.
        let table = 2 * CLIENTS as u64 + 40;
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |settings| {
            settings.workers = Workers {
                count: WORKERS,
                own_descriptors: true,
            };
        });
        let (_, hard) = rlimit::Resource::NOFILE.get().unwrap();
        rlimit::Resource::NOFILE.set(table, hard).unwrap();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(proxy.served().await);
        }
        // 90 clients, 90 of the backend, and 180 of the proxy do not fit into one table.
        assert_eq!(proxy.manager.stat().system.fd, 2 * CLIENTS as u64);
        for client in &mut clients {
            echo(client, b"alive").await;
        }
        drop(clients);
        proxy.end().await;
    });
}
