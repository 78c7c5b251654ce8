//! Headers of the PROXY protocol, from trusted senders only, and to backends.

use std::net::SocketAddr;
use std::time::Duration;

use rcmgr_atomic::Limits;
use rcmgr_core::PeerId;
use rcmgr_guard::proxy_protocol::{Parsed, parse};
use rcmgr_guard::{MOST_HEADERS_PER_SENDER, ProxyVersion, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::support::{
    Echo, LONG, Proxy, echo, eventually, expect, expect_end, in_time, localhost,
    one_of_each_address, rest, run,
};

/// The address of the sender that is trusted.
const SENDER: [u8; 4] = [127, 0, 4, 1];

/// A proxy that trusts one sender, in front of an echo backend.
async fn trusting(limits: Limits, change: impl FnOnce(&mut Settings)) -> (Echo, Proxy) {
    let backend = Echo::start().await;
    let proxy = Proxy::start(limits, &[backend.address], |settings| {
        let trusted = "127.0.4.1/32".parse().unwrap();
        settings.listeners[0].proxy_protocol.accept_from = vec![trusted];
        change(settings);
    });
    (backend, proxy)
}

fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.1 40000 443\r\n").into_bytes()
}

/// A connection of the sender for a client.
async fn sent_for(proxy: &Proxy, client: &str) -> TcpStream {
    let mut socket = proxy.connect_from(SENDER).await;
    socket.write_all(&v1(client)).await.unwrap();
    socket
}

#[test]
fn the_client_of_a_header_is_the_peer_and_the_payload_behind_it_arrives() {
    run(async || {
        let (_backend, proxy) = trusting(Limits::unlimited(), |_| {}).await;
        let header = v1("192.0.2.7");
        // In one segment with the payload, and byte by byte.
        let mut at_once = proxy.connect_from(SENDER).await;
        let both = [&*header, b"hello"].concat();
        at_once.write_all(&both).await.unwrap();
        expect(&mut at_once, b"hello").await;
        let mut slow = proxy.connect_from(SENDER).await;
        slow.set_nodelay(true).unwrap();
        for byte in header {
            slow.write_all(&[byte]).await.unwrap();
        }
        echo(&mut slow, b"hello").await;
        let stat = proxy.manager.stat();
        let peer: PeerId = "192.0.2.7".parse().unwrap();
        assert_eq!(stat.peers[&peer].conns_inbound, 2);
        assert_eq!(stat.peers.len(), 1);
        assert!(stat.transient.is_zero());
        drop((at_once, slow));
        proxy.end().await;
    });
}

#[test]
fn a_connection_from_outside_the_trusted_senders_is_closed_unread_with_and_without_a_header() {
    run(async || {
        let (backend, proxy) = trusting(Limits::unlimited(), |_| {}).await;
        for bytes in [&*v1("192.0.2.7"), b"hello", b""] {
            let mut client = proxy.connect_from([127, 0, 4, 2]).await;
            // It may be closed before this.
            let _ = client.write_all(bytes).await;
            assert_eq!(rest(&mut client).await.unwrap_or_default(), b"");
        }
        assert_eq!(proxy.counts().untrusted_senders, 3);
        assert_eq!(proxy.counts().connected, 0);
        assert_eq!(backend.served(), 0);
        assert!(proxy.manager.stat().system.is_zero());
        proxy.end().await;
    });
}

#[test]
fn a_trusted_sender_without_a_valid_header_is_closed_and_nothing_reaches_the_backend() {
    run(async || {
        let (backend, proxy) = trusting(Limits::unlimited(), |settings| {
            settings.listeners[0].timeouts.header = Duration::from_millis(300);
        })
        .await;
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 1.2.3.4\r\n"] {
            let mut socket = proxy.connect_from(SENDER).await;
            socket.write_all(bytes).await.unwrap();
            assert_eq!(rest(&mut socket).await.unwrap_or_default(), b"");
        }
        // One that ends first, one that sends nothing, and one that stops in the middle.
        let mut ended = proxy.connect_from(SENDER).await;
        ended.shutdown().await.unwrap();
        expect_end(&mut ended).await;
        for bytes in [&b""[..], b"PROXY TCP4 192.0.2"] {
            let start = Instant::now();
            let mut socket = proxy.connect_from(SENDER).await;
            socket.write_all(bytes).await.unwrap();
            expect_end(&mut socket).await;
            let waited = start.elapsed();
            assert!(waited >= Duration::from_millis(300), "{waited:?}");
        }
        let counts = proxy.counts();
        assert_eq!((counts.bad_headers, counts.connected), (5, 0));
        assert_eq!(backend.served(), 0);
        proxy.end().await;
    });
}

#[test]
fn while_its_header_is_read_a_sender_is_in_the_transient_scope_without_an_address() {
    run(async || {
        let (_backend, proxy) = trusting(one_of_each_address(), |settings| {
            settings.listeners[0].timeouts.header = LONG;
        })
        .await;
        // More than the limit of an address.
        let mut sockets = Vec::new();
        for _ in 0..5 {
            sockets.push(proxy.connect_from(SENDER).await);
        }
        eventually("all are counted", || {
            let stat = proxy.manager.stat();
            (stat.transient.conns_inbound, stat.transient.fd) == (5, 5)
        })
        .await;
        let stat = proxy.manager.stat();
        assert_eq!((stat.system.conns_inbound, stat.peers.len()), (5, 0));
        assert!(!stat.services.contains_key("echo") || stat.services["echo"].is_zero());
        drop(sockets);
        proxy.end().await;
    });
}

#[test]
fn a_sender_with_too_many_connections_that_wait_for_their_header_is_closed_and_another_is_not() {
    run(async || {
        let (_backend, proxy) = trusting(one_of_each_address(), |settings| {
            settings.listeners[0].timeouts.header = LONG;
            let trusted = "127.0.4.2/32".parse().unwrap();
            settings.listeners[0]
                .proxy_protocol
                .accept_from
                .push(trusted);
        })
        .await;
        let most = MOST_HEADERS_PER_SENDER as u64;
        let mut sockets = Vec::new();
        for _ in 0..most {
            sockets.push(proxy.connect_from(SENDER).await);
        }
        eventually("all are counted", || {
            proxy.manager.stat().transient.conns_inbound == most
        })
        .await;
        expect_end(&mut proxy.connect_from(SENDER).await).await;
        assert_eq!(proxy.counts().bad_headers, 1);
        let mut other = proxy.connect_from([127, 0, 4, 2]).await;
        other.write_all(&v1("192.0.2.7")).await.unwrap();
        echo(&mut other, b"hello").await;
        // One that has sent its header makes room.
        let mut first = sockets.swap_remove(0);
        first.write_all(&v1("192.0.2.8")).await.unwrap();
        echo(&mut first, b"hello").await;
        let mut next = sent_for(&proxy, "192.0.2.9").await;
        echo(&mut next, b"hello").await;
        drop((sockets, other, first, next));
        proxy.end().await;
    });
}

#[test]
fn a_full_transient_scope_refuses_senders_before_their_header_is_read() {
    run(async || {
        let mut limits = Limits::unlimited();
        limits.transient.conns_inbound = 1.into();
        let (_backend, proxy) = trusting(limits, |settings| {
            settings.listeners[0].timeouts.header = LONG;
        })
        .await;
        let slow = proxy.connect_from(SENDER).await;
        eventually("it is counted", || {
            proxy.manager.stat().transient.conns_inbound == 1
        })
        .await;
        expect_end(&mut proxy.connect_from(SENDER).await).await;
        assert_eq!(proxy.counts().refused_by_transient, 1);
        drop(slow);
        proxy.is_idle().await;
        let mut next = sent_for(&proxy, "192.0.2.7").await;
        echo(&mut next, b"hello").await;
        drop(next);
        proxy.end().await;
    });
}

#[test]
fn the_limits_by_address_apply_to_the_client_of_the_header() {
    run(async || {
        let (_backend, proxy) = trusting(one_of_each_address(), |_| {}).await;
        let mut first = sent_for(&proxy, "192.0.2.7").await;
        echo(&mut first, b"hello").await;
        let mut other = sent_for(&proxy, "192.0.2.8").await;
        echo(&mut other, b"hello").await;
        expect_end(&mut sent_for(&proxy, "192.0.2.7").await).await;
        assert_eq!(proxy.counts().refused_by_address, 1);
        drop((first, other));
        proxy.end().await;
    });
}

#[test]
fn a_header_without_a_client_has_the_limits_of_no_client() {
    run(async || {
        let mut limits = one_of_each_address();
        limits.peer_default.conns_inbound = 1.into();
        let (_backend, proxy) = trusting(limits, |_| {}).await;
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        let mut checks = Vec::new();
        for header in [
            &b"PROXY UNKNOWN\r\n"[..],
            local,
            b"PROXY UNKNOWN\r\n",
            local,
        ] {
            let mut check = proxy.connect_from(SENDER).await;
            check.write_all(header).await.unwrap();
            echo(&mut check, b"alive?").await;
            checks.push(check);
        }
        let stat = proxy.manager.stat();
        assert_eq!(stat.services["echo"].conns_inbound, 4);
        assert!(stat.peers.is_empty() && stat.transient.is_zero());
        drop(checks);
        proxy.end().await;
    });
}

#[test]
fn an_allowlisted_address_in_a_header_counts_only_from_a_trusted_sender() {
    run(async || {
        let mut config = rcmgr_core::address::AddressConfig::none();
        config.allowlist = vec!["/ip4/192.0.2.9".parse().unwrap()];
        let mut limits = Limits::unlimited();
        limits.addresses = rcmgr_core::address::AddressLimits::new(config).unwrap();
        limits.system.conns = 2.into();
        limits.system.conns_inbound = 2.into();
        let (_backend, proxy) = trusting(limits, |_| {}).await;
        let mut client = sent_for(&proxy, "192.0.2.8").await;
        echo(&mut client, b"hello").await;
        proxy.manager.set_limits({
            let mut limits = (*proxy.manager.limits()).clone();
            // There is room for the header, and not for a session.
            limits.system.conns = 3.into();
            limits
        });
        let mut liar = proxy.connect_from([127, 0, 4, 4]).await;
        // It may be closed before this.
        let _ = liar.write_all(&v1("192.0.2.9")).await;
        rest(&mut liar).await.unwrap_or_default();
        assert_eq!(proxy.counts().untrusted_senders, 1);
        let mut operator = sent_for(&proxy, "192.0.2.9").await;
        echo(&mut operator, b"status").await;
        drop((client, operator));
        proxy.end().await;
    });
}

#[test]
fn the_backend_gets_a_header_with_the_client_first() {
    run(async || {
        let backend = TcpListener::bind(localhost(0)).await.unwrap();
        let to = backend.local_addr().unwrap();
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let proxy = Proxy::start(Limits::unlimited(), &[to], |settings| {
                let protocol = &mut settings.listeners[0].proxy_protocol;
                protocol.send = Some(version);
                protocol.accept_from = vec!["127.0.4.1/32".parse().unwrap()];
            });
            // A header that names no client, so the client is the sender.
            let mut direct = proxy.connect_from(SENDER).await;
            direct.write_all(b"PROXY UNKNOWN\r\nhello").await.unwrap();
            let own = direct.local_addr().unwrap();
            let mut forwarded = sent_for(&proxy, "192.0.2.7").await;
            forwarded.write_all(b"hello").await.unwrap();
            let from: SocketAddr = "192.0.2.7:40000".parse().unwrap();
            let mut seen = Vec::new();
            for _ in 0..2 {
                let (mut served, _) = backend.accept().await.unwrap();
                let mut got = Vec::new();
                let (client, length) = loop {
                    let read = in_time("the header", served.read_buf(&mut got)).await;
                    assert!(read.unwrap() > 0);
                    match parse(&got).unwrap() {
                        Parsed::Header { client, length } if got.len() >= length + 5 => {
                            break (client, length);
                        }
                        _ => {}
                    }
                };
                assert_eq!(&got[length..], b"hello");
                seen.extend(client);
            }
            seen.sort();
            assert_eq!(seen, [own, from]);
            drop((direct, forwarded));
            proxy.end().await;
        }
    });
}
