//! Listening sockets that a service manager passes to the process.

#![cfg(unix)]

use std::env;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};

use rcmgr_guard::Inherited;

/// The address that the child process must find.
const EXPECTED: &str = "EXPECTED_ADDRESS";

/// Runs one test of this file in a child process that has `socket` as file descriptor 3, as systemd
/// passes it. `LISTEN_PID` is the child, or another process.
fn child(test: &str, socket: impl Into<OwnedFd>, expected: &str, pid: &str) -> Output {
    let shell =
        format!("LISTEN_FDS=1 LISTEN_PID={pid} exec \"$0\" --exact {test} 3<&0 0</dev/null");
    Command::new("sh")
        .args(["-c", &shell])
        .arg(env::current_exe().unwrap())
        .env(EXPECTED, expected)
        .stdin(Stdio::from(socket.into()))
        .output()
        .expect("a shell starts")
}

fn assert_success(run: &Output) {
    let (stdout, stderr) = (&run.stdout, &run.stderr);
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(run.status.success(), "{text:?}");
}

#[test]
fn a_listener_uses_the_inherited_socket_with_its_address() {
    if let Ok(expected) = env::var(EXPECTED) {
        let on: SocketAddr = expected.parse().unwrap();
        let inherited = Inherited::from_environment().unwrap();
        assert_eq!(inherited.addresses().collect::<Vec<_>>(), [on]);
        let other = SocketAddr::from((on.ip(), on.port() ^ 1));
        assert!(inherited.on(other).unwrap().is_none());
        // Each worker has a handle of its own, and either accepts the client.
        let first = inherited.on(on).unwrap().unwrap();
        let second = inherited.on(on).unwrap().unwrap();
        drop(first);
        second.accept().unwrap();
        return;
    }
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let on = socket.local_addr().unwrap();
    // The client is in the queue of the socket before the child starts.
    let mut client = TcpStream::connect(on).unwrap();
    client.write_all(b"hello").unwrap();
    let test = "a_listener_uses_the_inherited_socket_with_its_address";
    assert_success(&child(test, socket, &on.to_string(), "$$"));
}

#[test]
fn a_socket_that_does_not_listen_is_an_error() {
    if env::var(EXPECTED).is_ok() {
        let error = Inherited::from_environment().unwrap_err().to_string();
        assert!(
            error.starts_with("socket 1 of the service manager: "),
            "{error}"
        );
        return;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let test = "a_socket_that_does_not_listen_is_an_error";
    assert_success(&child(test, socket, "none", "$$"));
}

#[test]
fn sockets_for_another_process_are_not_taken() {
    if env::var(EXPECTED).is_ok() {
        let inherited = Inherited::from_environment().unwrap();
        assert_eq!(inherited.addresses().count(), 0);
        return;
    }
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let test = "sockets_for_another_process_are_not_taken";
    assert_success(&child(test, socket, "none", "1"));
}
