//! The end: a first signal drains, a second one cuts.

use std::net::TcpStream;
use std::process::Stdio;
use std::time::Instant;

use super::clients::{Backend, Client, is_closed};
use super::process::{DEADLINE, Folder, Guard, eventually, free};

fn text(backend: &Backend, drain: &str) -> String {
    format!(
        "{}[guard]\ndrain = \"{drain}\"\n",
        backend.behind("127.0.0.1:0")
    )
}

#[test]
fn connections_go_on_after_the_first_signal_and_the_process_ends_with_the_last() {
    let backend = Backend::start("a");
    let folder = Folder::new(&text(&backend, "1h"));
    for signal in ["TERM", "INT"] {
        let mut guard = folder.start("guard.toml");
        let address = guard.address();
        let mut client = Client::served_by("a", address);
        guard.signal(signal);
        guard.line(&format!(
            "SIG{signal}: no new connections are accepted; 1 connection may go on for 3600s; a \
             second signal cuts them at once"
        ));
        eventually("the listener is closed", || is_closed(address));
        client.echoes("hello");
        drop(client);
        let (status, lines) = guard.end();
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        let last = "the proxy has ended; idle connections closed: 0, connections cut: 0";
        assert_eq!(lines.last().unwrap(), last);
    }
}

#[test]
fn the_drain_ends_at_its_deadline() {
    let backend = Backend::start("a");
    let folder = Folder::new(&text(&backend, "50ms"));
    let mut guard = folder.start("guard.toml");
    let client = Client::served_by("a", guard.address());
    guard.signal("TERM");
    let (status, lines) = guard.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    client.expect_refused();
}

#[test]
fn a_second_signal_cuts_all_connections_at_once() {
    let backend = Backend::start("a");
    let folder = Folder::new(&text(&backend, "1h"));
    let start = Instant::now();
    for (first, second, expected) in [("TERM", "TERM", 143), ("TERM", "INT", 130)] {
        let mut guard = folder.start("guard.toml");
        let client = Client::served_by("a", guard.address());
        guard.signal(first);
        guard.line("SIGTERM: no new connections");
        guard.signal(second);
        let (status, lines) = guard.end();
        assert_eq!(status.code(), Some(expected), "{lines:#?}");
        assert_eq!(
            lines.last().unwrap(),
            "the proxy has ended; idle connections closed: 0, connections cut: 1",
        );
        client.expect_refused();
    }
    assert!(start.elapsed() < DEADLINE);
}

#[test]
fn a_reload_during_the_drain_opens_no_listener() {
    let backend = Backend::start("a");
    let folder = Folder::new(&text(&backend, "1h"));
    let mut guard = folder.start("guard.toml");
    let address = guard.address();
    let mut client = Client::served_by("a", address);
    guard.signal("TERM");
    guard.line("SIGTERM: no new connections");
    folder.write(
        "guard.toml",
        &(backend.behind(address) + "[guard]\ndrain = \"1s\"\n"),
    );
    guard.line("limits reloaded");
    assert!(is_closed(address));
    client.echoes("hello");
    drop(client);
    assert_eq!(guard.end().0.code(), Some(0));
}

#[test]
fn without_a_reader_of_its_log_the_proxy_reloads_and_drains() {
    let backend = Backend::start("a");
    let (first, second, third) = (free(), free(), free());
    let drain = "[guard]\ndrain = \"1h\"\n";
    let folder = Folder::new(&(backend.behind(first) + drain));
    let mut process = folder.shell("exec \"$RCMGR\" guard guard.toml", Stdio::null());
    drop(process.stderr.take());
    let mut guard = Guard::new(process);
    assert_eq!(guard.address(), first);
    let mut client = Client::served_by("a", first);
    let mut listeners = backend.behind(first);
    for listener in [second, third] {
        listeners += &backend.behind(listener);
        folder.write("guard.toml", &format!("{listeners}{drain}"));
        // Not `is_closed`, which takes the address for a moment.
        eventually("the new listener is open", || {
            TcpStream::connect(listener).is_ok()
        });
    }
    guard.signal("TERM");
    eventually("the listener is closed", || is_closed(first));
    client.echoes("hello");
    drop(client);
    let (status, lines) = guard.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
}
