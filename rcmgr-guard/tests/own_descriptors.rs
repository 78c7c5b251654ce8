//! Workers with descriptor tables of their own. The tables begin as copies, so this is a process of
//! its own, whose only test starts the server first.

#![cfg(target_os = "linux")]

#[path = "server/support.rs"]
#[allow(dead_code)]
mod support;

use rcmgr_atomic::Limits;
use rcmgr_guard::{Queue, Workers};
use tokio::net::TcpStream;

use support::{Echo, LONG, Proxy, echo, expect_reset, in_time, run};

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
            settings.listeners[0].queue = Some(Queue {
                most: CLIENTS,
                longest: LONG,
            });
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

        // Clients wait in one line for all workers: each that leaves lets the next one in, wherever it is.
        let mut limits = Limits::unlimited();
        limits.system.conns = 2.into();
        proxy.manager.set_limits(limits);
        let waiting = clients.split_off(CLIENTS / 2);
        drop(waiting);
        proxy.has_open(clients.len() as u64).await;
        let line = (0..CLIENTS / 2).map(|_| {
            let address = proxy.address();
            tokio::spawn(async move {
                let mut client = TcpStream::connect(address).await.unwrap();
                echo(&mut client, b"hello").await;
            })
        });
        let line = Vec::from_iter(line);
        proxy.has_waiting(line.len() as u64).await;
        drop(clients);
        for client in line {
            in_time("a client of the line", client).await.unwrap();
        }
        proxy.is_idle().await;

        // This thread, with its own table, cuts sessions of all workers.
        proxy.manager.set_limits(Limits::unlimited());
        let mut clients = Vec::new();
        for _ in 0..CLIENTS / 3 {
            clients.push(proxy.served().await);
        }
        proxy.server.cut();
        for client in &mut clients {
            expect_reset(client).await;
        }
        proxy.is_idle().await;
        let drained = proxy.drain(LONG).await.unwrap();
        assert_eq!((drained.cut, drained.left), (CLIENTS / 3, 0));
    });
}
