//! The end: drain, cut, and drop.

use std::io;
use std::time::Duration;

use rcmgr_atomic::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{
    Echo, LONG, Proxy, echo, eventually, expect_end, expect_reset, in_time, is_zero, listen,
    nothing_listens, rest, run,
};

#[test]
fn a_drain_waits_for_sessions_and_ends_early_when_they_have_ended() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let address = proxy.address();
        let mut client = proxy.served().await;
        let drain = proxy.drain(LONG);
        nothing_listens(address).await;
        for _ in 0..5 {
            echo(&mut client, b"not finished yet").await;
            assert!(!drain.is_finished());
        }
        drop(client);
        let drained = in_time("the drain", drain).await.unwrap();
        assert_eq!((drained.closed_idle, drained.cut, drained.left), (0, 0, 0));
        proxy.end().await;
    });
}

#[test]
fn a_drain_closes_idle_sessions_one_after_the_other_and_busy_ones_at_the_deadline() {
    const IDLE: usize = 20;
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut busy = proxy.served().await;
        let mut ends = Vec::new();
        for _ in 0..IDLE {
            let mut client = proxy.served().await;
            ends.push(tokio::spawn(async move {
                // An orderly end.
                expect_end(&mut client).await;
                Instant::now()
            }));
        }
        let busy = tokio::spawn(async move {
            // Until the reset.
            loop {
                if busy.write_all(b"x").await.is_err() {
                    break;
                }
                if rest_so_far(&mut busy).await.is_err() {
                    break;
                }
            }
        });
        let within = Duration::from_secs(2);
        let start = Instant::now();
        let drained = proxy.drain(within).await.unwrap();
        let took = start.elapsed();
        assert!(
            took >= within && took < within + Duration::from_secs(2),
            "{took:?}"
        );
        assert_eq!(
            (drained.closed_idle, drained.cut, drained.left),
            (IDLE, 1, 0)
        );
        in_time("the busy one", busy).await.unwrap();
        let mut times = Vec::new();
        for end in ends {
            times.push(in_time("an end", end).await.unwrap() - start);
        }
        times.sort();
        // Spread over the time, and before the deadline.
        assert!(times[IDLE - 1] < within, "{times:?}");
        assert!(times[IDLE / 2] > within / 4, "{times:?}");
        let most_at_once = times.windows(6).map(|few| few[5] - few[0]).min().unwrap();
        assert!(most_at_once > Duration::from_millis(100), "{times:?}");
        proxy.end().await;
    });
}

/// Reads what is there, after a short wait.
async fn rest_so_far(client: &mut TcpStream) -> io::Result<()> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    match client.try_read(&mut [0; 64]) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

#[test]
fn a_drain_under_a_flood_ends_at_its_deadline() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let address = proxy.address();
        let flood: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn(async move {
                    let mut held = Vec::new();
                    // Until nothing listens any more.
                    while let Ok(mut client) = TcpStream::connect(address).await {
                        let _ = client.write_all(b"flood").await;
                        held.push(client);
                        if held.len() == 200 {
                            held.clear();
                        }
                    }
                })
            })
            .collect();
        eventually("the flood is there", || proxy.counts().connected > 200).await;
        let within = Duration::from_millis(700);
        let start = Instant::now();
        let drained = proxy.drain(within).await.unwrap();
        let took = start.elapsed();
        assert!(took < within + Duration::from_secs(2), "{took:?}");
        assert_eq!(drained.left, 0);
        for client in flood {
            in_time("a client of the flood", client).await.unwrap();
        }
        proxy.end().await;
    });
}

#[test]
fn a_reload_during_a_drain_listens_on_nothing_and_cuts_nothing() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let address = proxy.address();
        let mut client = proxy.served().await;
        let drain = proxy.drain(LONG);
        nothing_listens(address).await;
        proxy
            .apply(|settings| {
                settings.listeners[0].on = address;
                settings.listeners.push(listen(&[backend.address]));
            })
            .unwrap();
        assert_eq!(proxy.server.addresses(), [address]);
        assert!(std::net::TcpStream::connect(address).is_err());
        echo(&mut client, b"still here").await;
        assert!(!drain.is_finished());
        drop(client);
        let drained = in_time("the drain", drain).await.unwrap();
        assert_eq!((drained.cut, drained.left), (0, 0));
        proxy.end().await;
    });
}

#[test]
fn a_second_signal_during_a_drain_under_a_flood_ends_it_at_once() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |settings| {
            settings.workers.count = 2;
        });
        let address = proxy.address();
        let flood = (0..8).map(|_| {
            tokio::spawn(async move {
                // Until nothing listens any more.
                while let Ok(mut client) = TcpStream::connect(address).await {
                    // Never idle, so the drain does not close it.
                    while client.write_all(b"flood").await.is_ok() {
                        if rest_so_far(&mut client).await.is_err() {
                            break;
                        }
                    }
                }
            })
        });
        let flood = Vec::from_iter(flood);
        proxy.has_open(8).await;
        let drain = proxy.drain(LONG);
        nothing_listens(address).await;
        let start = Instant::now();
        proxy.server.cut();
        let drained = in_time("the drain", drain).await.unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!((drained.cut, drained.left), (8, 0));
        for client in flood {
            in_time("a client of the flood", client).await.unwrap();
        }
        assert!(is_zero(&proxy.manager));
        proxy.end().await;
    });
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut client = proxy.served().await;
        let drain = proxy.drain(LONG);
        let address = proxy.address();
        nothing_listens(address).await;
        let start = Instant::now();
        proxy.server.cut();
        let drained = in_time("the drain", drain).await.unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        assert_eq!((drained.cut, drained.left), (1, 0));
        expect_reset(&mut client).await;
        assert!(is_zero(&proxy.manager));
        proxy.end().await;
    });
}

#[test]
fn dropping_the_server_cuts_everything() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut client = proxy.served().await;
        let manager = proxy.manager.clone();
        drop(proxy);
        assert!(rest(&mut client).await.is_err());
        assert!(is_zero(&manager));
    });
}
