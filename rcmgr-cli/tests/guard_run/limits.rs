//! Limits: refused clients, clients that a full server admits, and the dry run.

use super::clients::{Backend, Client};
use super::process::Folder;

#[test]
fn an_address_gets_as_many_connections_as_its_limit_and_others_are_served() {
    let backend = Backend::start("a");
    let limits = "[PeerDefault]\nConnsInbound = 2\n";
    let folder = Folder::new(&(backend.behind("127.0.0.1:0") + limits));
    let mut guard = folder.start("guard.toml");
    let address = guard.address();
    let first = Client::served_by("a", address);
    let _second = Client::served_by("a", address);
    Client::connect(address).expect_refused();
    let mut other = Client::connect_from([127, 0, 0, 2], address);
    other.is_served_by("a");
    let line = guard.line("2 of 2 in use now; the limit is PeerDefault.ConnsInbound");
    assert!(
        line.starts_with("warning: peer:127.0.0.1 refused 1 inbound connection "),
        "{line}"
    );
    // A connection that ends makes room.
    drop(first);
    super::process::eventually("there is room", || {
        Client::connect(address).sends_anything()
    });
}

#[test]
fn operators_and_health_checks_of_the_allowlist_come_in_while_the_server_is_full() {
    let backend = Backend::start("a");
    let limits = "[System]\nConnsInbound = 1\n[Addresses]\nAllowlist = [\"127.0.0.9/32\"]\n";
    let folder = Folder::new(&(backend.behind("127.0.0.1:0") + limits));
    let mut guard = folder.start("guard.toml");
    let address = guard.address();
    let mut first = Client::served_by("a", address);
    Client::connect(address).expect_refused();
    let mut operator = Client::connect_from([127, 0, 0, 9], address);
    operator.is_served_by("a");
    operator.echoes("hello");
    first.echoes("hello");
}

#[test]
fn a_dry_run_refuses_nothing_and_logs_what_the_limits_would_have_refused() {
    let backend = Backend::start("a");
    let limits = "[guard]\ndry-run = true\n[PeerDefault]\nConnsInbound = 1\n";
    let folder = Folder::new(&(backend.behind("127.0.0.1:0") + limits));
    let mut guard = folder.start("guard.toml");
    let address = guard.address();
    let _first = Client::served_by("a", address);
    let _second = Client::served_by("a", address);
    guard.line("warning: dry run: peer:127.0.0.1 would have refused 1 inbound connection");
    assert_eq!(guard.count("dry run: no limit is enforced"), 1);
}

#[test]
fn the_option_dry_run_does_the_same() {
    let backend = Backend::start("a");
    let folder = Folder::new("");
    folder.write("limits.toml", "[Service.db]\nConnsInbound = 1\n");
    let to = backend.address;
    let mut guard = folder.start(&format!(
        "--listen 127.0.0.1:0 --to {to} --service db --limits limits.toml --dry-run"
    ));
    let address = guard.address();
    let _first = Client::served_by("a", address);
    let _second = Client::served_by("a", address);
    guard.line("warning: dry run: service:db would have refused 1 inbound connection");
}

#[test]
fn operators_come_in_while_other_clients_have_all_descriptors_that_they_may_have() {
    let backend = Backend::start("a");
    let allowlist = "[Addresses]\nAllowlist = [\"127.0.0.9/32\"]\n";
    let folder = Folder::new(&(backend.behind("127.0.0.1:0") + allowlist));
    let command = "ulimit -Sn 200; ulimit -Hn 200; exec \"$RCMGR\" guard guard.toml";
    let mut guard = folder.start_in_shell(command, std::process::Stdio::null());
    let address = guard.address();
    assert_eq!(guard.count("18 connections with 200 file descriptors"), 1);
    let mut clients: Vec<_> = (0..18).map(|_| Client::served_by("a", address)).collect();
    Client::connect(address).expect_refused();
    let mut operator = Client::connect_from([127, 0, 0, 9], address);
    operator.is_served_by("a");
    operator.echoes("hello");
    clients.iter_mut().for_each(|client| client.echoes("hello"));
}
