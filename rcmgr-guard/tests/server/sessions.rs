//! Sessions: their scopes, half-close, resets, timeouts, memory.

use std::time::Duration;

use rcmgr_atomic::Limits;
use rcmgr_core::PeerId;
use rcmgr_guard::Settings;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{
    Echo, Proxy, echo, eventually, expect, expect_end, expect_reset, in_time, localhost, reset,
    rest, run,
};

const SHORT: Duration = Duration::from_millis(200);

/// A proxy with one timeout in front of an echo backend.
async fn with_timeouts(change: impl FnOnce(&mut Settings)) -> (Echo, Proxy) {
    let backend = Echo::start().await;
    let proxy = Proxy::start(Limits::unlimited(), &[backend.address], change);
    (backend, proxy)
}

#[test]
fn a_session_is_two_connections_of_its_service_one_of_them_of_its_peer() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut client = proxy.connect_from([127, 0, 0, 7]).await;
        echo(&mut client, b"hello").await;
        let stat = proxy.manager.stat();
        for scope in [&stat.system, &stat.services["echo"]] {
            assert_eq!(
                (scope.conns_inbound, scope.conns_outbound, scope.fd),
                (1, 1, 2)
            );
        }
        let peer: PeerId = "127.0.0.7".parse().unwrap();
        let peer = &stat.peers[&peer];
        assert_eq!(
            (peer.conns_inbound, peer.conns_outbound, peer.fd),
            (1, 0, 1)
        );
        assert!(stat.transient.is_zero());
        drop(client);
        proxy.end().await;
    });
}

#[test]
fn after_one_direction_has_ended_the_other_goes_on() {
    run(async || {
        let backend = TcpListener::bind(localhost(0)).await.unwrap();
        let to = backend.local_addr().unwrap();
        let proxy = Proxy::start(Limits::unlimited(), &[to], |_| {});
        for client_ends_first in [true, false] {
            let client = proxy.connect().await;
            let (served, _) = backend.accept().await.unwrap();
            let (mut first, mut second) = match client_ends_first {
                true => (client, served),
                false => (served, client),
            };
            first.write_all(b"the last bytes").await.unwrap();
            first.shutdown().await.unwrap();
            assert_eq!(rest(&mut second).await, Ok(b"the last bytes".to_vec()));
            // Long after the end of the other direction.
            for _ in 0..3 {
                second.write_all(b"later").await.unwrap();
                expect(&mut first, b"later").await;
            }
            second.shutdown().await.unwrap();
            expect_end(&mut first).await;
            proxy.is_idle().await;
        }
        assert_eq!(proxy.counts().ended, 2);
        proxy.end().await;
    });
}

#[test]
fn a_half_closed_session_is_cut_after_its_timeout_counted_from_the_last_byte() {
    run(async || {
        let backend = TcpListener::bind(localhost(0)).await.unwrap();
        let to = backend.local_addr().unwrap();
        let proxy = Proxy::start(Limits::unlimited(), &[to], |settings| {
            settings.listeners[0].timeouts.half_closed = Some(SHORT);
        });
        let mut client = proxy.connect().await;
        let (mut served, _) = backend.accept().await.unwrap();
        // An open session has no such timeout.
        tokio::time::sleep(2 * SHORT).await;
        client.shutdown().await.unwrap();
        let start = Instant::now();
        while start.elapsed() < 3 * SHORT {
            served.write_all(b"x").await.unwrap();
            expect(&mut client, b"x").await;
            tokio::time::sleep(SHORT / 4).await;
        }
        let last = Instant::now();
        expect_end(&mut client).await;
        assert!(last.elapsed() >= SHORT / 2, "{:?}", last.elapsed());
        proxy.is_idle().await;
        assert_eq!(proxy.counts().cut_half_closed, 1);
        drop(served);
        proxy.end().await;
    });
}

#[test]
fn a_reset_of_either_side_resets_the_other_at_once() {
    run(async || {
        let backend = TcpListener::bind(localhost(0)).await.unwrap();
        let to = backend.local_addr().unwrap();
        let proxy = Proxy::start(Limits::unlimited(), &[to], |_| {});
        for client_resets in [true, false] {
            let mut client = proxy.connect().await;
            let (mut served, _) = backend.accept().await.unwrap();
            client.write_all(b"hello").await.unwrap();
            expect(&mut served, b"hello").await;
            let (first, mut second) = match client_resets {
                true => (client, served),
                false => (served, client),
            };
            reset(first);
            expect_reset(&mut second).await;
            proxy.is_idle().await;
        }
        let counts = proxy.counts();
        assert_eq!((counts.client_failed, counts.backend_failed), (1, 1));
        proxy.end().await;
    });
}

#[test]
fn a_backend_that_is_killed_half_way_ends_the_session_and_leaves_nothing() {
    run(async || {
        let backend = TcpListener::bind(localhost(0)).await.unwrap();
        let to = backend.local_addr().unwrap();
        let proxy = Proxy::start(Limits::unlimited(), &[to], |_| {});
        let mut client = proxy.connect().await;
        let (mut served, _) = backend.accept().await.unwrap();
        client.write_all(&vec![7; 1 << 20]).await.unwrap();
        expect(&mut served, &[7; 100]).await;
        // The kernel resets the connection of a process that ends with unread bytes.
        drop(served);
        expect_reset(&mut client).await;
        proxy.end().await;
    });
}

#[test]
fn the_idle_timeout_counts_bytes_of_both_directions_with_and_without_splice() {
    run(async || {
        let backend = TcpListener::bind(localhost(0)).await.unwrap();
        let to = backend.local_addr().unwrap();
        for splice in [false, true] {
            let proxy = Proxy::start(Limits::unlimited(), &[to], |settings| {
                settings.listeners[0].timeouts.idle = Some(SHORT);
                settings.listeners[0].splice = splice;
            });
            let mut client = proxy.connect().await;
            let (mut served, _) = backend.accept().await.unwrap();
            let chunk = vec![7; 1 << 18];
            for up in [true, false] {
                let (from, to) = match up {
                    true => (&mut client, &mut served),
                    false => (&mut served, &mut client),
                };
                // Bytes that move in one direction alone keep the session alive.
                let start = Instant::now();
                while start.elapsed() < 3 * SHORT {
                    let (sent, ()) = tokio::join!(from.write_all(&chunk), expect(to, &chunk));
                    sent.unwrap();
                    tokio::time::sleep(SHORT / 4).await;
                }
            }
            let last = Instant::now();
            expect_end(&mut client).await;
            assert!(last.elapsed() >= SHORT / 2, "{:?}", last.elapsed());
            proxy.is_idle().await;
            assert_eq!(proxy.counts().cut_idle, 1);
            proxy.end().await;
        }
    });
}

#[test]
fn a_client_that_sends_no_first_byte_in_time_is_closed_and_others_are_not() {
    run(async || {
        let (_backend, proxy) = with_timeouts(|settings| {
            settings.listeners[0].timeouts.first_byte = Some(SHORT);
        })
        .await;
        let mut talker = proxy.served().await;
        let mut silent = proxy.connect().await;
        expect_end(&mut silent).await;
        eventually("the cut is counted", || proxy.counts().cut_first_byte == 1).await;
        tokio::time::sleep(2 * SHORT).await;
        echo(&mut talker, b"still here").await;
        drop(talker);
        proxy.end().await;
    });
}

#[test]
fn the_memory_of_a_reader_that_is_slow_is_charged_to_its_connection_and_bounded() {
    run(async || {
        const MOST: u64 = 1 << 20;
        let mut limits = Limits::unlimited();
        limits.system.memory = MOST.into();
        let backend = TcpListener::bind(localhost(0)).await.unwrap();
        let to = backend.local_addr().unwrap();
        let proxy = Proxy::start(limits, &[to], |_| {});
        let client = proxy.connect().await;
        let (mut served, _) = backend.accept().await.unwrap();
        // The backend sends until its socket is full.
        let chunk = vec![7; 1 << 20];
        let mut sent = 0;
        while let Ok(written) = tokio::time::timeout(SHORT, served.write(&chunk)).await {
            sent += written.unwrap();
        }
        let memory = proxy.manager.stat().system.memory;
        assert!(memory > 0 && memory <= MOST, "{memory}");
        // No byte is lost.
        drop(served);
        let mut client = client;
        let got = in_time("the rest", rest(&mut client)).await;
        // The kernel may reset the backend's side, but not before its bytes have arrived.
        assert_eq!(got.map(|bytes| bytes.len()), Ok(sent));
        drop(client);
        proxy.end().await;
    });
}
