//! Reloads among as many connections as the file descriptors allow, at most 10,000: none is cut, and the
//! counters are exact.
//!
//! The clients, the backend and the workers each have a table of descriptors of their own, so this is a
//! process of its own, whose only test starts the server first.

#![cfg(target_os = "linux")]

#[path = "server/support.rs"]
#[allow(dead_code)]
mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use rcmgr_guard::{Overflow, Workers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{Echo, Proxy, eventually, in_time, listen, run, with_sessions};

/// What a table needs for other things than connections.
const OTHERS: u64 = 200;
const WORKERS: u64 = 3;
/// How many clients connect at a time.
const AT_A_TIME: usize = 100;

/// How many clients the descriptors allow.
fn most_clients() -> u64 {
    let (_, hard) = rlimit::Resource::NOFILE.get().unwrap();
    rlimit::Resource::NOFILE.set(hard, hard).unwrap();
    // The kernel spreads the clients over the workers, but not evenly.
    (hard - OTHERS).min(10_000)
}

/// An echo backend in a thread with its own descriptors, which ends when this is dropped.
struct Backend {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (address, started) = mpsc::channel();
        let end = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_FILES).unwrap();
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(async {
                let echo = Echo::start().await;
                address.send(echo.address).unwrap();
                // No other thread can wake this runtime: the descriptor for that is in this table.
                while !end.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        });
        Self {
            address: started.recv().unwrap(),
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Sends a number through each connection at the same time, and reads them back.
async fn echo_all(clients: &mut [TcpStream]) {
    for (at, client) in clients.iter_mut().enumerate() {
        client.write_all(&(at as u64).to_be_bytes()).await.unwrap();
    }
    for (at, client) in clients.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        let read = in_time("an answer", client.read_exact(&mut bytes)).await;
        read.unwrap();
        assert_eq!(u64::from_be_bytes(bytes), at as u64);
    }
}

async fn assert_exact(proxy: &Proxy, clients: usize) {
    // A client has its answer before the memory of the read is given back.
    let manager = &proxy.manager;
    eventually("no memory", || manager.stat().system.memory == 0).await;
    let expected = clients as u64;
    let stat = proxy.manager.stat();
    for scope in [&stat.system, &stat.services["echo"]] {
        let counts = (scope.conns_inbound, scope.conns_outbound, scope.fd);
        assert_eq!(counts, (expected, expected, 2 * expected));
    }
    assert!(stat.transient.is_zero());
    let counts = proxy.counts();
    assert_eq!((counts.open, counts.refused()), (expected, 0));
}

#[test]
fn reloads_among_ten_thousand_connections_cut_none_and_leave_the_counters_exact() {
    run(async || {
        let most = most_clients();
        let mut limits = with_sessions(most);
        limits.peer_default.conns_inbound = most.into();
        // The server first: tables begin as copies.
        let mut proxy = Proxy::start(limits, &[], |settings| {
            settings.workers = Workers {
                count: WORKERS as usize,
                own_descriptors: true,
            };
        });
        let backends = [Backend::start(), Backend::start()];
        let to = backends.each_ref().map(|backend| backend.address);
        proxy
            .apply(|settings| settings.listeners[0].to = listen(&to).to)
            .unwrap();

        let mut clients = Vec::new();
        let mut reloads = 0;
        while clients.len() < most as usize {
            let address = proxy.address();
            let count = AT_A_TIME.min(most as usize - clients.len());
            let connect = (0..count).map(|_| tokio::spawn(TcpStream::connect(address)));
            let connect = Vec::from_iter(connect);
            // While they connect: other backends, timeouts, limits, another listener or none.
            let is_even = reloads % 2 == 0;
            proxy
                .apply(|settings| {
                    let used = if is_even { &to[..] } else { &to[..1] };
                    settings.overflow = Overflow::ShedIdle;
                    settings.listeners.truncate(1);
                    settings.listeners[0].to = listen(used).to;
                    settings.listeners[0].timeouts.idle = is_even.then_some(support::LONG);
                    if is_even {
                        settings.listeners.push(listen(&to));
                    }
                })
                .unwrap();
            let mut limits = with_sessions(most + u64::from(is_even));
            limits.system.conns = (2 * most + reloads).into();
            proxy.manager.set_limits(limits);
            reloads += 1;
            for client in connect {
                let client = in_time("a client", client).await.unwrap();
                clients.push(client.unwrap());
            }
        }
        echo_all(&mut clients).await;
        assert_exact(&proxy, clients.len()).await;
        assert_eq!(proxy.counts().connected, most);
        for reload in 0..20 {
            proxy
                .apply(|settings| {
                    settings.listeners.truncate(1);
                    settings.listeners[0].to = listen(&to[..1 + reload % 2]).to;
                })
                .unwrap();
            proxy
                .manager
                .set_limits(with_sessions(most + reload as u64));
            assert_exact(&proxy, clients.len()).await;
        }
        echo_all(&mut clients).await;
        assert_exact(&proxy, clients.len()).await;
        drop(clients);
        proxy.end().await;
        drop(backends);
    });
}
