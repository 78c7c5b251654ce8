//! Connections that are admitted, and their counts.

use std::io;
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_core::address::{AddressConfig, AddressLimits, SubnetLimit, SubnetLimits};
use rcmgr_core::{Endpoint, Limits, UsesFd};
use rcmgr_tokio::{Accept, AcceptFuture, Guarded};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_test::{assert_pending, assert_ready, task};

use crate::script::{SOCKET, Script, Step};

const LONG: Duration = Duration::from_secs(60);

fn one_connection_per_address() -> Manager {
    let subnets = SubnetLimits {
        v4: vec![SubnetLimit {
            prefix_len: 32,
            conns: 1,
        }],
        v6: vec![SubnetLimit {
            prefix_len: 128,
            conns: 1,
        }],
        ..SubnetLimits::none()
    };
    let config = AddressConfig {
        subnets,
        ..AddressConfig::none()
    };
    let mut limits = Limits::unlimited();
    limits.addresses = AddressLimits::new(config).unwrap();
    Manager::new(limits).unwrap()
}

#[tokio::test]
async fn a_connection_is_counted_with_its_descriptor_and_service_until_it_is_dropped() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Guarded::new(listener, manager.clone()).service("web");
    assert_eq!(
        listener.listener().local_endpoint().unwrap(),
        address.into()
    );

    let client = TcpStream::connect(address).await.unwrap();
    let stream = listener.accept().await;
    assert_eq!(stream.peer(), client.local_addr().unwrap().into());
    let stat = manager.stat();
    assert_eq!((stat.system.conns_inbound, stat.system.fd), (1, 1));
    assert_eq!(stat.services["web"].conns_inbound, 1);
    assert!(stat.transient.is_zero());
    drop(stream);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn a_client_that_never_speaks_is_given_up_after_the_deadline_for_the_first_byte() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let within = Duration::from_millis(1);
    let listener = Guarded::new(listener, manager).first_byte_within(within);
    let _client = TcpStream::connect(address).await.unwrap();
    // Accepting does not wait for the client.
    let mut stream = listener.accept().await;
    let read = timeout(LONG, stream.read_u8()).await.unwrap();
    let error = read.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn an_ipv4_address_in_an_ipv6_socket_counts_as_the_ipv4_address() {
    let manager = one_connection_per_address();
    let peers = [
        "192.0.2.7:1",
        "[::ffff:192.0.2.7]:2",
        "[::ffff:192.0.2.8]:3",
        "[2001:db8::7]:4",
    ];
    let script = Script::new(peers.map(|peer| Step::Socket(peer.parse().unwrap())));
    let listener = Guarded::new(script.clone(), manager);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(assert_ready!(task::spawn(listener.accept()).poll()));
    }
    // The second one came from the address of the first, so it was refused.
    assert_eq!(script.steps_left(), 0);
    let admitted: Vec<String> = streams.iter().map(|s| s.peer().to_string()).collect();
    assert_eq!(admitted, ["192.0.2.7:1", "192.0.2.8:3", "[2001:db8::7]:4"]);
}

#[test]
fn a_listener_without_descriptors_is_charged_with_none() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let script = Script::new([SOCKET]);
    let accept = move || {
        let script = script.clone();
        async move { std::future::poll_fn(|cx| script.poll_accept(cx)).await }
    };
    let listener = AcceptFuture::new(accept).uses_fd(UsesFd::No);
    let listener = Guarded::new(listener, manager.clone());
    let _stream = assert_ready!(task::spawn(listener.accept()).poll());
    let system = manager.stat().system;
    assert_eq!((system.conns_inbound, system.fd), (1, 0));
}

#[test]
fn the_stream_of_connections_never_fails() {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 2.into();
    let manager = Manager::new(limits).unwrap();
    let script = Script::new([SOCKET, Step::Code(libc::ECONNABORTED), SOCKET, SOCKET]);
    let incoming = Guarded::new(script.clone(), manager).incoming();
    let mut incoming = task::spawn(incoming);
    let _admitted = [(); 2].map(|()| assert_ready!(incoming.poll_next()).unwrap().unwrap());
    assert_pending!(incoming.poll_next());
    assert_eq!((script.open(), script.steps_left()), (2, 0));
}

#[test]
fn a_closed_manager_refuses_each_connection_and_accept_waits() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let script = Script::new([SOCKET, SOCKET]);
    let listener = Guarded::new(script.clone(), manager.clone());
    manager.close();
    assert_pending!(task::spawn(listener.accept()).poll());
    assert_eq!((script.accepted(), script.open()), (2, 0));
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_without_an_address_is_admitted() {
    use tokio::net::{UnixListener, UnixStream};

    // Limits by address do not apply: there is none.
    let manager = one_connection_per_address();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let listener = Guarded::new(listener, manager.clone()).service("local");
    let _clients = [
        UnixStream::connect(&path).await.unwrap(),
        UnixStream::connect(&path).await.unwrap(),
    ];
    let streams = [listener.accept().await, listener.accept().await];
    assert_eq!(streams[0].peer(), Endpoint::None);
    assert_eq!(manager.stat().services["local"].fd, 2);
    drop(streams);
    assert!(manager.stat().system.is_zero());
}
