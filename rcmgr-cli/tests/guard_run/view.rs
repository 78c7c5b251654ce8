//! The live view: its page, its JSON and its metrics.

use super::support::{Backend, Client, Folder, get, json};

fn text(backend: &Backend) -> String {
    backend.behind("127.0.0.1:0") + "[guard]\nview = \"127.0.0.1:0\"\n"
}

#[test]
fn the_view_serves_a_page_the_state_and_metrics() {
    let backend = Backend::start("a");
    let folder = Folder::new(&(text(&backend) + "[PeerDefault]\nConnsInbound = 1\n"));
    let mut guard = folder.start("guard.toml");
    let address = guard.address();
    let view = guard.view();
    let _client = Client::served_by("a", address);
    Client::connect(address).expect_refused();
    assert!(get(view, "/").contains("<html"));
    let state = json(view);
    assert_eq!(state["name"], "rcmgr guard");
    assert_eq!(state["system"]["used"]["conns-inbound"], 1);
    assert_eq!(state["reload"]["error"], serde_json::Value::Null);
    let refused =
        "libp2p_rcmgr_blocked_resources{dir=\"inbound\",resource=\"connection\",scope=\"peer\"} 1";
    let metrics = get(view, "/metrics");
    assert!(metrics.contains(refused), "{metrics}");
}

#[test]
fn the_view_of_the_arguments_is_served_while_connections_drain() {
    let backend = Backend::start("a");
    let folder = Folder::new("");
    folder.write("limits.toml", "# no limits\n");
    let to = backend.address;
    let mut guard = folder.start(&format!(
        "--listen 127.0.0.1:0 --to {to} --limits limits.toml --view 127.0.0.1:0 --drain 1h"
    ));
    let address = guard.address();
    let view = guard.view();
    let client = Client::served_by("a", address);
    guard.signal("TERM");
    guard.line("SIGTERM: no new connections");
    assert_eq!(json(view)["system"]["used"]["conns-inbound"], 1);
    drop(client);
    assert_eq!(guard.end().0.code(), Some(0));
}
