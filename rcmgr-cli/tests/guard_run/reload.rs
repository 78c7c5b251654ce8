//! A changed file: it is applied all or nothing, and no connection is cut.

use std::net::TcpListener;

use super::clients::{Backend, Client, is_closed};
use super::process::{Folder, eventually, free};

#[test]
fn limits_and_listeners_of_a_changed_file_are_applied_and_no_connection_is_touched() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let (first, second) = (free(), free());
    let folder = Folder::new(&a.behind(first));
    let mut guard = folder.start("guard.toml");
    assert_eq!(guard.address(), first);
    let mut client = Client::served_by("a", first);

    // A limit, another backend, and another listener.
    let limits = "[PeerDefault]\nConnsInbound = 2\n";
    folder.write(
        "guard.toml",
        &(b.behind(first) + &a.behind(second) + limits),
    );
    guard.line("limits reloaded");
    assert_eq!(guard.count(&format!("{first} -> {}", b.address)), 1);
    assert_eq!(guard.count(&format!("{second} -> {}", a.address)), 1);
    client.echoes("of before");
    let mut of_second = Client::served_by("a", second);
    Client::connect(first).expect_refused();
    drop(of_second);
    eventually("there is room", || Client::connect(first).sends_anything());

    // The first listener goes, and its connection stays.
    folder.write("guard.toml", &a.behind(second));
    guard.line("limits reloaded");
    assert_eq!(
        guard.count(&format!("{first}: no new connections are accepted")),
        1
    );
    eventually("the listener is closed", || is_closed(first));
    client.echoes("of a listener that is gone");
    of_second = Client::served_by("a", second);
    of_second.echoes("hello");
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported_once() {
    let backend = Backend::start("a");
    let on = free();
    let folder = Folder::new(&backend.behind(on));
    let mut guard = folder.start("guard.toml");
    guard.address();
    let mut client = Client::served_by("a", on);
    let bad = "[PeerDefault]\nConnsInbound = 0\n[Sytem]\nConns = 1\n";
    folder.write("guard.toml", &(backend.behind("127.0.0.1") + bad));
    guard.line("guard.toml:7: warning: Sytem: unknown key; did you mean \"System\"?");
    client.echoes("hello");
    Client::served_by("a", on).echoes("hello");
    folder.write("guard.toml", &backend.behind(on));
    guard.line("the limits file is valid again");
    assert_eq!(guard.count("nothing is changed"), 2);
    assert_eq!(guard.count("guard.toml:2: warning: listen.on: "), 1);
}

#[test]
fn an_address_in_use_changes_nothing_and_a_hang_up_signal_tries_again() {
    let backend = Backend::start("a");
    let on = free();
    let folder = Folder::new(&backend.behind(on));
    let mut guard = folder.start("guard.toml");
    guard.address();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = taken.local_addr().unwrap();
    let limits = "[PeerDefault]\nConnsInbound = 1\n";
    folder.write(
        "guard.toml",
        &(backend.behind(on) + &backend.behind(second) + limits),
    );
    guard.line(&format!("warning: listen.on: cannot listen on {second}: "));
    // The limits are as before, too.
    let clients = [(); 2].map(|()| Client::served_by("a", on));

    drop((taken, clients));
    guard.signal("HUP");
    guard.line("limits reloaded");
    eventually("the sessions of before have ended", || {
        Client::connect(second).sends_anything()
    });
    assert_eq!(guard.count("cannot listen on"), 1);
    assert_eq!(guard.count("nothing is changed"), 1);
}

#[test]
fn the_limits_file_of_the_arguments_is_followed() {
    let backend = Backend::start("a");
    let folder = Folder::new("");
    folder.write("limits.toml", "# no limits\n");
    let to = backend.address;
    let arguments = format!("--listen 127.0.0.1:0 --to {to} --limits limits.toml --drain 1ms");
    let mut guard = folder.start(&arguments);
    let address = guard.address();
    let mut client = Client::served_by("a", address);
    folder.write("limits.toml", "[PeerDefault]\nConnsInbound = 1\n");
    guard.line("limits.toml: limits reloaded");
    Client::connect(address).expect_refused();
    client.echoes("hello");
    folder.write("limits.toml", "[PeerDefault]\nConnsInbund = 1\n");
    guard.line("limits.toml:2: warning: PeerDefault.ConnsInbund: unknown");
}

#[test]
fn what_needs_a_restart_is_a_warning() {
    let backend = Backend::start("a");
    let on = free();
    let folder = Folder::new(&backend.behind(on));
    let mut guard = folder.start("guard.toml");
    guard.address();
    let changed = "[guard]\nworkers = 2\nview = \"127.0.0.1:0\"\n";
    folder.write("guard.toml", &(backend.behind(on) + changed));
    guard.line("limits reloaded");
    assert_eq!(
        guard.count("warning: workers = 2 and own-descriptors = false need a restart"),
        1
    );
    assert_eq!(guard.count("warning: the live view stays as it is"), 1);
    Client::served_by("a", on).echoes("hello");
}
