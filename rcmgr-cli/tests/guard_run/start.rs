//! The start: listeners, inherited sockets, file descriptors, and errors.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use super::clients::{Backend, Client, is_closed};
use super::process::{Folder, free};

#[test]
fn bytes_go_through_the_listener_of_a_file() {
    let backend = Backend::start("a");
    let folder = Folder::new(&backend.behind("127.0.0.1:0"));
    let mut guard = folder.start("guard.toml");
    Client::served_by("a", guard.address()).echoes("hello");
}

#[test]
fn bytes_go_through_the_listener_of_the_arguments() {
    let backends = [Backend::start("a"), Backend::start("b")];
    let folder = Folder::new("");
    folder.write("limits.toml", "[System]\nConnsInbound = 10\n");
    let [a, b] = backends.map(|backend| backend.address);
    let arguments = format!("--listen 127.0.0.1:0 --to {a},{b} --limits limits.toml --workers 2");
    let mut guard = folder.start(&arguments);
    let address = guard.address();
    // The backends take turns, on each worker.
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
    let mut served_by = clients.iter_mut().map(Client::name);
    assert!(served_by.all(|name| ["a", "b"].contains(&&*name)));
    clients.iter_mut().for_each(|client| client.echoes("hello"));
}

#[test]
fn each_worker_may_have_its_own_descriptors_and_signals_still_arrive() {
    let backend = Backend::start("a");
    let workers = "[guard]\nworkers = 2\nown-descriptors = true\nview = \"127.0.0.1:0\"\n";
    let folder = Folder::new(&(backend.behind("127.0.0.1:0") + workers));
    let mut guard = folder.start("guard.toml");
    let address = guard.address();
    let view = guard.view();
    let mut clients: Vec<_> = (0..8).map(|_| Client::served_by("a", address)).collect();
    clients.iter_mut().for_each(|client| client.echoes("hello"));
    assert_eq!(
        super::process::json(view)["system"]["used"]["conns-inbound"],
        8
    );
    drop(clients);
    guard.signal("TERM");
    let (status, lines) = guard.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
}

#[test]
fn a_listener_uses_the_socket_of_the_service_manager_with_its_address() {
    let backend = Backend::start("a");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let on = socket.local_addr().unwrap();
    // The client is in the queue of the socket before the proxy starts.
    let mut client = Client::connect(on);
    let folder = Folder::new(&backend.behind(on));
    let command = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$RCMGR\" guard guard.toml 3<&0 0</dev/null";
    let mut guard = folder.start_in_shell(command, Stdio::from(OwnedFd::from(socket)));
    assert_eq!(guard.address(), on);
    client.is_served_by("a");
    client.echoes("hello");
    assert_eq!(guard.count("warning"), 0);
}

#[test]
fn an_inherited_socket_without_a_listener_is_a_warning() {
    let backend = Backend::start("a");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let on = socket.local_addr().unwrap();
    let folder = Folder::new(&backend.behind("127.0.0.1:0"));
    let command = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$RCMGR\" guard guard.toml 3<&0 0</dev/null";
    let mut guard = folder.start_in_shell(command, Stdio::from(OwnedFd::from(socket)));
    guard.line(&format!(
        "warning: the socket {on} of the service manager has no listener"
    ));
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_and_limits_above_are_warnings() {
    let backend = Backend::start("a");
    let limits = "[System]\nConnsInbound = 600\n";
    let folder = Folder::new(&(backend.behind("127.0.0.1:0") + limits));
    let command = "ulimit -Sn 256; ulimit -Hn 1164; exec \"$RCMGR\" guard guard.toml";
    let mut guard = folder.start_in_shell(command, Stdio::null());
    // The two lines come from stderr and stdout, in any order.
    guard.line("500 connections with 1,164 file descriptors");
    let raised = "guard.toml:6: warning: System.ConnsInbound: 600 is more than the file \
                  descriptors allow: at most 500";
    super::process::eventually(raised, || guard.count(raised) == 1);
}

#[test]
fn the_server_does_not_lower_the_limit_of_descriptors_again() {
    let backend = Backend::start("a");
    for (settings, workers) in [("", 1), ("queue = { most = 100, longest = '1s' }\n", 3)] {
        let of_guard = format!("[guard]\nworkers = {workers}\nview = '127.0.0.1:0'\n");
        let text = backend.behind("127.0.0.1:0") + settings + &of_guard;
        let folder = Folder::new(&text);
        let mut guard = folder.start("guard.toml");
        let address = guard.address();
        Client::served_by("a", address).echoes("hello");
        assert_eq!(guard.count("lowered"), 0);
    }
}

#[test]
fn a_wrong_file_ends_the_start_with_all_its_mistakes() {
    let folder = Folder::new("[[listen]]\non = '0.0.0.0'\nto = '10.0.0.2:1'\n[Sytem]\nConns = 1\n");
    let (status, lines) = folder.start("guard.toml").end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        lines,
        [
            "guard.toml:2: listen.on: no port: write \"0.0.0.0:PORT\"",
            "guard.toml:4: Sytem: unknown key; did you mean \"System\"?",
        ]
    );
}

#[test]
fn an_address_in_use_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|on| (taken, on)).unwrap();
    let backend = Backend::start("a");
    let free = free();
    let folder = Folder::new(&(backend.behind(free) + &backend.behind(taken.1)));
    let (status, lines) = folder.start("guard.toml").end();
    assert_eq!(status.code(), Some(1));
    let start = format!("rcmgr: cannot listen on {}: ", taken.1);
    assert!(
        lines.len() == 1 && lines[0].starts_with(&start),
        "{lines:#?}"
    );
    assert!(is_closed(free));

    let view = format!("[guard]\nview = \"{}\"\n", taken.1);
    let folder = Folder::new(&(backend.behind("127.0.0.1:0") + &view));
    let (status, lines) = folder.start("guard.toml").end();
    assert_eq!(status.code(), Some(1));
    let start = format!("rcmgr: cannot serve the live view on {}: ", taken.1);
    assert!(
        lines.len() == 1 && lines[0].starts_with(&start),
        "{lines:#?}"
    );
}
