//! Backends: turns, failures, time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rcmgr_atomic::Limits;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{Echo, Proxy, echo, localhost, rest, run};

/// An address where nothing listens.
fn dead() -> SocketAddr {
    let listener = std::net::TcpListener::bind(localhost(0)).unwrap();
    listener.local_addr().unwrap()
}

/// A backend whose queue of new connections is full: it answers no other connection.
struct Silent {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl Silent {
    fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&localhost(0).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = (0..4).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            // It is in progress.
            let _ = socket.connect(&address);
            socket
        });
        let queued = Vec::from_iter(queued);
        std::thread::sleep(Duration::from_millis(50));
        Self {
            address: address.as_socket().unwrap(),
            _queued: queued,
            _listener: listener,
        }
    }
}

#[test]
fn backends_take_turns() {
    run(async || {
        let backends = [
            Echo::start().await,
            Echo::start().await,
            Echo::start().await,
        ];
        let to = backends.each_ref().map(|backend| backend.address);
        let proxy = Proxy::start(Limits::unlimited(), &to, |_| {});
        for round in 1..=3 {
            for _ in 0..3 {
                drop(proxy.served().await);
            }
            let served = backends.each_ref().map(Echo::served);
            assert_eq!(served, [round; 3]);
        }
        proxy.end().await;
    });
}

#[test]
fn the_next_backend_is_tried_if_one_fails_and_the_failed_one_again_later() {
    run(async || {
        let alive = Echo::start().await;
        let reserved = std::net::TcpListener::bind(localhost(0)).unwrap();
        let address = reserved.local_addr().unwrap();
        drop(reserved);
        let proxy = Proxy::start(Limits::unlimited(), &[address, alive.address], |_| {});
        for _ in 0..6 {
            drop(proxy.served().await);
        }
        assert_eq!(alive.served(), 6);
        // After the first failure it is tried last for a while.
        let failures = proxy.counts().backend_failures;
        assert!((1..6).contains(&failures), "{failures}");
        let revived = Echo::on(TcpListener::bind(address).await.unwrap());
        let start = Instant::now();
        while revived.served() == 0 {
            drop(proxy.served().await);
            assert!(start.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(proxy.counts().no_backend, 0);
        proxy.end().await;
    });
}

#[test]
fn a_client_without_a_backend_gets_a_reset_and_nothing_is_left() {
    run(async || {
        let proxy = Proxy::start(Limits::unlimited(), &[dead(), dead()], |_| {});
        for _ in 0..3 {
            let outcome = proxy.outcome().await;
            assert_eq!(outcome, Err(io::ErrorKind::ConnectionReset));
        }
        let counts = proxy.counts();
        assert_eq!((counts.no_backend, counts.backend_failures), (3, 6));
        assert_eq!((counts.no_local_port, counts.connected), (0, 0));
        proxy.end().await;
    });
}

#[test]
fn a_backend_that_does_not_answer_is_given_up_after_the_timeout() {
    run(async || {
        let silent = Silent::start();
        let within = Duration::from_millis(300);
        let proxy = Proxy::start(Limits::unlimited(), &[silent.address], |settings| {
            settings.listeners[0].timeouts.connect = within;
        });
        let start = Instant::now();
        proxy.outcome().await.unwrap_err();
        assert!(start.elapsed() >= within, "{:?}", start.elapsed());
        assert_eq!(proxy.counts().backend_failures, 1);
        proxy.end().await;
    });
}

#[test]
fn after_the_timeout_of_one_backend_the_next_one_serves() {
    run(async || {
        let (silent, alive) = (Silent::start(), Echo::start().await);
        let to = [silent.address, alive.address];
        let proxy = Proxy::start(Limits::unlimited(), &to, |settings| {
            settings.listeners[0].timeouts.connect = Duration::from_millis(200);
        });
        let start = Instant::now();
        for _ in 0..4 {
            drop(proxy.served().await);
        }
        // Only some of them wait for the silent one.
        assert!(start.elapsed() >= Duration::from_millis(200));
        assert_eq!(alive.served(), 4);
        proxy.end().await;
    });
}

#[test]
fn a_backend_is_found_by_name() {
    run(async || {
        let backend = Echo::start().await;
        let name = format!("localhost:{}", backend.address.port());
        let proxy = Proxy::start(Limits::unlimited(), &[], |settings| {
            settings.listeners[0].to = vec![name.into(), "no-such-host.invalid:1".into()];
        });
        for _ in 0..4 {
            let mut client = proxy.connect().await;
            echo(&mut client, b"hello").await;
        }
        assert!(proxy.counts().backend_failures >= 1);
        proxy.end().await;
    });
}

#[test]
fn the_limits_by_address_do_not_apply_to_backends() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(
            crate::support::one_of_each_address(),
            &[backend.address],
            |_| {},
        );
        // All to one address, each from its own.
        let mut clients = Vec::new();
        for last in 1..=5 {
            let mut client = proxy.connect_from([127, 0, 1, last]).await;
            echo(&mut client, b"hello").await;
            clients.push(client);
        }
        rest(&mut proxy.connect_from([127, 0, 1, 1]).await)
            .await
            .unwrap();
        assert_eq!(proxy.counts().refused_by_address, 1);
        drop(clients);
        proxy.end().await;
    });
}
