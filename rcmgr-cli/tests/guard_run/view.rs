//! The live view: its page, its JSON and its metrics.

use super::clients::{Backend, Client};
use super::process::{Folder, get, json};

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

#[test]
fn the_counters_of_each_listener_are_in_the_metrics_and_in_the_view() {
    let backend = Backend::start("a");
    // Each client must send a header first, and the other listener has no backend.
    let headers = "proxy-protocol = { accept-from = [\"127.0.0.0/8\"] }\n";
    let unused = super::process::free();
    let second = format!("[[listen]]\non = \"127.0.0.1:0\"\nto = \"{unused}\"\n");
    let view = "[guard]\nview = \"127.0.0.1:0\"\n";
    let folder = Folder::new(&(backend.behind("127.0.0.1:0") + headers + &second + view));
    let mut guard = folder.start("guard.toml");
    let addresses = guard.addresses();
    let view = guard.view();
    let mut client = Client::connect(addresses[0]);
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.expect_refused();
    Client::connect(addresses[1]).expect_refused();
    guard.line(&format!(
        "{} closed 1 connection in the last ",
        addresses[1]
    ));
    let reasons = [
        "s: the PROXY header was wrong, late or missing",
        "s: no backend could be connected to",
    ];
    for reason in reasons {
        super::process::eventually(reason, || guard.count(reason) == 1);
    }

    let metrics = get(view, "/metrics");
    for (name, listener) in [("bad_headers", addresses[0]), ("no_backend", addresses[1])] {
        let line = format!("rcmgr_guard_{name}_total{{listener=\"{listener}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    let program = &json(view)["program"];
    assert_eq!(program["label"], "listener");
    for (part, name) in [(0, "bad_headers"), (1, "no_backend")] {
        let part = &program["parts"][part];
        assert_eq!(part["counters"][name], 1, "{part}");
        assert_eq!(part["counters"]["accepted"], 1, "{part}");
    }
}

#[test]
fn the_view_shows_the_lines_of_the_file_that_is_in_force() {
    let backend = Backend::start("a");
    let folder = Folder::new(&(text(&backend) + "[System]\nConnsInbound = 5\n"));
    let mut guard = folder.start("guard.toml");
    guard.address();
    let view = guard.view();
    let origin = || {
        let page = get(view, "/rcmgr.json?scope=system");
        let page: serde_json::Value = serde_json::from_str(&page).unwrap();
        page["scope"]["origins"]["conns-inbound"]["from"].clone()
    };
    assert_eq!(origin(), "guard.toml:8");
    folder.write(
        "guard.toml",
        &("\n".to_owned() + &text(&backend) + "[System]\nConnsInbound = 6\n"),
    );
    guard.line("limits reloaded");
    assert_eq!(origin(), "guard.toml:9");
}
