//! Outbound connections.

mod support;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rcmgr_atomic::{Error, Limit, Limits, Manager};
use rcmgr_tokio::{ConnectExt, connect};
use support::{drop_at_every_poll, eventually, poll_at_most, unlimited};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_test::assert_pending;
use tokio_test::task::spawn;

async fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A socket that does not listen, and its address: nothing else gets the port while it is open.
fn dead() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn an_outbound_connection_is_counted_until_its_socket_is_closed() {
    let manager = unlimited();
    let (listener, address) = server().await;
    let mut stream = manager.connect(address).service("db").await.unwrap();
    let stat = manager.stat();
    assert_eq!((stat.system.conns_outbound, stat.system.fd), (1, 1));
    assert_eq!(stat.services["db"].conns_outbound, 1);
    assert!(stat.transient.is_zero());
    assert_eq!(stream.peer(), address.into());

    let (mut accepted, _) = listener.accept().await.unwrap();
    stream.write_all(b"query").await.unwrap();
    let mut query = [0; 5];
    accepted.read_exact(&mut query).await.unwrap();
    assert_eq!(&query, b"query");
    drop(stream);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn a_name_is_resolved_and_without_a_service_the_connection_is_transient() {
    let manager = unlimited();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let name = format!("localhost:{}", listener.local_addr().unwrap().port());
    let stream = connect(&manager, name.as_str()).await.unwrap();
    assert_eq!(manager.stat().transient.conns_outbound, 1);
    drop(stream);
    assert!(manager.stat().system.is_zero());
    let unknown = connect(&manager, "no such name:80").await;
    unknown.unwrap_err();
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn a_connection_that_the_manager_refuses_makes_no_socket() {
    let (listener, address) = server().await;
    let mut limits = Limits::unlimited();
    limits.service.insert("db".into(), Limit::BLOCK_ALL);
    let manager = Manager::new(limits).unwrap();
    let error = manager.connect(address).service("db").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    let refused: Error = error.downcast().unwrap();
    assert_eq!(refused.scope().unwrap().to_string(), "service:db");
    assert!(manager.stat().system.is_zero());

    manager.close();
    let closed: Error = manager
        .connect(address)
        .await
        .unwrap_err()
        .downcast()
        .unwrap();
    assert!(matches!(closed, Error::ScopeClosed { .. }), "{closed}");
    assert_pending!(spawn(listener.accept()).poll());
}

#[tokio::test]
async fn a_socket_that_cannot_connect_gives_its_scope_back_and_names_its_address() {
    let manager = unlimited();
    let (_socket, address) = dead();
    let error = manager.connect(address).service("db").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let text = error.to_string();
    let start = format!("cannot connect to {address}: ");
    assert!(text.starts_with(&start), "{text}");
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn several_addresses_are_tried_in_their_order() {
    let manager = unlimited();
    let (_first, first) = server().await;
    let (_second, second) = server().await;
    let sockets = [dead(), dead()];
    let dead = [sockets[0].1, sockets[1].1];
    let addresses = [dead[0], first, second];
    let stream = manager.connect(&addresses[..]).await.unwrap();
    assert_eq!(stream.peer(), first.into());
    assert_eq!(manager.stat().system.conns_outbound, 1);

    let error = manager.connect(&dead[..]).await.unwrap_err();
    assert!(error.to_string().contains(&dead[1].to_string()), "{error}");
    let error = manager.connect(&[][..]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(manager.stat().system.conns_outbound, 1);
}

#[tokio::test]
async fn a_connect_that_is_dropped_at_any_poll_leaves_no_socket_and_no_scope() {
    let manager = unlimited();
    let (listener, address) = server().await;
    let (_socket, dead) = dead();
    let addresses = [dead, address];
    let polls = drop_at_every_poll(async |polls| {
        let stream = poll_at_most(polls, manager.connect(&addresses[..]).into_future()).await;
        let is_ready = stream.is_some();
        drop(stream);
        assert!(manager.stat().system.is_zero());
        is_ready
    })
    .await;
    assert!(polls >= 2, "{polls}");
    // Each socket that the listener has got is at its end.
    eventually("a connection", || {
        let mut accept = spawn(listener.accept());
        accept.poll().is_ready()
    })
    .await;
    while let std::task::Poll::Ready(Ok((mut socket, _))) = spawn(listener.accept()).poll() {
        assert_eq!(socket.read(&mut [0]).await.unwrap_or(0), 0);
    }
}
