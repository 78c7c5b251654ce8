//! Everything at random: clients and backends that end in all ways, reloads, other limits, no file
//! descriptors. In the end nothing is charged, and no descriptor is open.
//!
//! It takes 10 seconds, or `RCMGR_SOAK_SECONDS`.

#![cfg(target_os = "linux")]

#[path = "server/support.rs"]
#[allow(dead_code)]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rcmgr_atomic::Limits;
use rcmgr_guard::{OnRefusal, Overflow, ProxyVersion, Queue, Settings};
use rlimit::Resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use support::{Proxy, in_time, is_zero, listen, localhost, one_of_each_address, reset, run};

const CLIENTS: usize = 60;
/// The senders of PROXY headers.
const SENDER: [u8; 4] = [127, 0, 7, 200];

fn duration() -> Duration {
    let seconds = std::env::var("RCMGR_SOAK_SECONDS").map(|seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(10))
}

fn chance(one_in: u32) -> bool {
    fastrand::u32(..one_in) == 0
}

fn milliseconds(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(range))
}

/// Ends a socket in one of all ways.
async fn end_somehow(mut socket: TcpStream) {
    match fastrand::u32(..4) {
        0 => reset(socket),
        1 => drop(socket),
        2 => {
            let _ = socket.shutdown().await;
            let mut rest = Vec::new();
            let _ = timeout(milliseconds(1..500), socket.read_to_end(&mut rest)).await;
        }
        // Half open for a while.
        _ => {
            let _ = socket.shutdown().await;
            sleep(milliseconds(1..300)).await;
        }
    }
}

/// A backend that comes and goes, and serves each connection in some way.
async fn backend(address: SocketAddr, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(listener) = TcpListener::bind(address).await {
            let until = Instant::now() + milliseconds(50..1500);
            while let Ok(accepted) = tokio::time::timeout_at(until, listener.accept()).await {
                if let Ok((socket, _)) = accepted {
                    tokio::spawn(serve(socket));
                } else {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        }
        sleep(milliseconds(1..200)).await;
    }
}

async fn serve(mut socket: TcpStream) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let most = if chance(20) { 1000 } else { 100 };
        let read = timeout(milliseconds(1..most), socket.read(&mut buffer)).await;
        let Ok(Ok(count @ 1..)) = read else {
            break;
        };
        // Sometimes more than the client reads.
        for _ in 0..fastrand::u32(1..10) {
            if socket.write_all(&buffer[..count]).await.is_err() || chance(50) {
                break;
            }
        }
    }
    end_somehow(socket).await;
}

/// Clients one after the other.
async fn client(addresses: Arc<[SocketAddr]>, stop: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let to = addresses[fastrand::usize(..addresses.len())];
        let from = match chance(4) {
            true => SENDER,
            false => [127, 0, 7, fastrand::u8(1..20)],
        };
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            socket.connect(to).await
        };
        let Ok(Ok(mut socket)) = timeout(Duration::from_secs(1), connect).await else {
            sleep(Duration::from_millis(2)).await;
            continue;
        };
        if from == SENDER && !chance(10) {
            let header = format!("PROXY TCP4 192.0.2.{} 192.0.2.1 1 1\r\n", fastrand::u8(..));
            let cut = if chance(10) { 9 } else { header.len() };
            let _ = socket.write_all(&header.as_bytes()[..cut]).await;
        }
        let bytes = vec![7; fastrand::usize(1..60_000)];
        for _ in 0..fastrand::u32(..5) {
            let _ = timeout(milliseconds(1..300), socket.write_all(&bytes)).await;
            let mut answer = [0; 1000];
            match timeout(milliseconds(1..300), socket.read(&mut answer)).await {
                Ok(Ok(1..)) => {
                    served.fetch_add(1, Ordering::Relaxed);
                }
                _ => break,
            }
        }
        end_somehow(socket).await;
    }
}

/// Other settings of the listeners, whose addresses stay.
fn change(settings: &mut Settings, backends: &[SocketAddr]) {
    for listener in &mut settings.listeners {
        let some = |chance_of| chance(chance_of).then(|| milliseconds(20..400));
        listener.to = listen(&backends[..fastrand::usize(1..=backends.len())]).to;
        listener.service = ["a", "b"][fastrand::usize(..2)].into();
        listener.queue = chance(2).then(|| Queue {
            most: fastrand::usize(1..30),
            longest: milliseconds(1..500),
        });
        listener.timeouts.connect = milliseconds(20..500);
        listener.timeouts.header = milliseconds(20..500);
        listener.timeouts.idle = some(2);
        listener.timeouts.first_byte = some(2);
        listener.timeouts.half_closed = some(2);
        listener.splice = chance(2);
        let version = [ProxyVersion::V1, ProxyVersion::V2][fastrand::usize(..2)];
        listener.proxy_protocol.send = chance(3).then_some(version);
        listener.proxy_protocol.accept_from = match chance(2) {
            true => Vec::new(),
            false => vec!["127.0.7.200/32".parse().unwrap()],
        };
        listener.on_refusal = match fastrand::u32(..3) {
            0 => OnRefusal::Close,
            1 => OnRefusal::Reset,
            _ => OnRefusal::Reply((*b"busy").into()),
        };
    }
    settings.overflow = match chance(2) {
        true => Overflow::Keep,
        false => Overflow::ShedIdle,
    };
}

fn limits() -> Limits {
    let mut limits = match chance(3) {
        true => one_of_each_address(),
        false => Limits::unlimited(),
    };
    let some = |limit: &mut rcmgr_core::LimitValue, most: u64| {
        if chance(3) {
            *limit = fastrand::u64(..most).into();
        }
    };
    some(&mut limits.system.conns, 100);
    some(&mut limits.system.fd, 100);
    some(&mut limits.system.memory, 1 << 20);
    some(&mut limits.transient.conns_inbound, 20);
    some(&mut limits.peer_default.conns, 10);
    limits
}

#[test]
fn in_the_end_nothing_is_charged_and_no_descriptor_is_open() {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        report(panic);
    }));
    run(async || {
        let backends: Vec<SocketAddr> = (0..3)
            .map(|_| std::net::TcpListener::bind(localhost(0)).unwrap())
            .map(|listener| listener.local_addr().unwrap())
            .collect();
        let mut proxy = Proxy::start(Limits::unlimited(), &backends, |settings| {
            settings.workers.count = 2;
            settings.listeners.push(settings.listeners[0].clone());
            settings.listeners.push(settings.listeners[0].clone());
        });
        let addresses = proxy.server.addresses();
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for address in &backends {
            tasks.push(tokio::spawn(backend(*address, Arc::clone(&stop))));
        }
        for _ in 0..CLIENTS {
            let addresses = addresses.clone().into();
            let client = client(addresses, Arc::clone(&stop), Arc::clone(&served));
            tasks.push(tokio::spawn(client));
        }
        let (soft, hard) = Resource::NOFILE.get().unwrap();
        let end = Instant::now() + duration();
        while Instant::now() < end {
            sleep(milliseconds(1..100)).await;
            match fastrand::u32(..10) {
                0..5 => {
                    let changed = proxy.apply(|settings| {
                        change(settings, &backends);
                        // The third listener comes and goes.
                        settings.listeners.truncate(2);
                        if chance(2) {
                            let mut third = settings.listeners[0].clone();
                            third.on = addresses[2];
                            settings.listeners.push(third);
                        }
                    });
                    // The address may not be free yet, or there is no descriptor.
                    drop(changed);
                }
                5..9 => proxy.manager.set_limits(limits()),
                _ => {
                    // No descriptors for a while: sockets fail everywhere.
                    let open = std::fs::read_dir("/proc/self/fd").map_or(100, Iterator::count);
                    Resource::NOFILE.set(open as u64, hard).unwrap();
                    sleep(milliseconds(1..200)).await;
                    Resource::NOFILE.set(soft, hard).unwrap();
                }
            }
        }
        let counts = proxy.server.counts();
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            in_time("a task", task).await.unwrap();
        }
        assert!(served.load(Ordering::Relaxed) > 100, "{counts:#?}");
        let drained = proxy.drain(Duration::from_millis(500)).await.unwrap();
        assert_eq!(drained.left, 0);
        assert!(is_zero(&proxy.manager), "{}", proxy.manager.stat().system);
        assert_eq!(proxy.manager.addresses().stat().permits, 0);
        // Tasks of the backends that are about to end.
        sleep(Duration::from_secs(2)).await;
    });
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "panics");
}
