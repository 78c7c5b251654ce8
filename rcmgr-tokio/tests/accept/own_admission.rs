//! Servers that admit by themselves: `accept_socket` and `refuse`.

use std::io;
use std::time::Duration;

use rcmgr_atomic::{Direction, Manager, UsesFd};
use rcmgr_core::{Endpoint, Limits};
use rcmgr_tokio::{Guarded, Refusal};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_test::task;

use crate::script::{SOCKET, Script, Step};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn accept_socket_opens_nothing_in_the_manager_and_deals_with_errors_as_accept_does() {
    let mapped = Endpoint::Ip("::ffff:192.0.2.7".parse().unwrap());
    let steps = [
        Step::Code(libc::ECONNABORTED),
        Step::Code(libc::EMFILE),
        Step::Code(libc::EMFILE),
        Step::Socket(mapped),
    ];
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 0.into();
    let manager = Manager::new(limits).unwrap();
    let script = Script::new(steps);
    let listener = Guarded::new(script.clone(), manager.clone()).service("web");
    let (socket, peer) = timeout(LONG, listener.accept_socket()).await.unwrap();
    assert_eq!(peer, Endpoint::Ip("192.0.2.7".parse().unwrap()));
    assert_eq!(script.open(), 1);
    assert_eq!(manager.view_system().refusals().total(), 0);
    drop(socket);
    assert_eq!(script.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn accept_socket_that_is_dropped_at_any_poll_loses_no_socket() {
    for polls in 1..=4 {
        let steps = [Step::Wait, SOCKET, Step::Wait, SOCKET, Step::Wait];
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let script = Script::new(steps);
        let listener = Guarded::new(script.clone(), manager);
        let mut sockets = Vec::new();
        while script.steps_left() > 0 {
            let mut accept = task::spawn(listener.accept_socket());
            for _ in 0..polls {
                if let std::task::Poll::Ready(socket) = accept.poll() {
                    sockets.push(socket);
                    break;
                }
            }
            drop(accept);
            assert_eq!(script.accepted(), sockets.len(), "{polls}");
            assert_eq!(script.open(), sockets.len(), "{polls}");
        }
        assert_eq!(sockets.len(), 2, "{polls}");
    }
}

#[tokio::test]
async fn a_client_that_the_server_refuses_gets_the_answer_of_the_listener() {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 0.into();
    let manager = Manager::new(limits).unwrap();
    let answers = [
        (Refusal::Close, Ok("")),
        (Refusal::Reset, Err(io::ErrorKind::ConnectionReset)),
        (Refusal::Reply(b"busy"), Ok("busy")),
    ];
    for (refusal, expected) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Guarded::new(listener, manager.clone()).on_refusal(refusal);
        let mut client = TcpStream::connect(address).await.unwrap();
        let (socket, peer) = listener.accept_socket().await;
        assert_eq!(peer, client.local_addr().unwrap().into());
        let opened = manager.open_connection(Direction::Inbound, UsesFd::Yes, peer);
        listener.refuse(socket, peer, &opened.unwrap_err());
        let mut text = String::new();
        let read = timeout(LONG, client.read_to_string(&mut text)).await;
        let read = read.unwrap().map(|_| &*text).map_err(|error| error.kind());
        assert_eq!(read, expected);
    }
}
