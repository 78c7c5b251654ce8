//! The tests in the terminal.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use rcmgr_atomic::address::{AddressConfig, AddressLimits, SubnetLimits};
use rcmgr_atomic::{Connection, Direction, Endpoint, Limits, MIB, Manager, Priority, UsesFd};
use serde_json::Value;

use crate::tmux::Tmux;
use crate::view::{View, answer, page_of, says};

/// All tests, by name.
pub const ALL: [(&str, fn()); 11] = [
    ("the_numbers_are_those_that_the_view_tells", numbers),
    ("a_change_is_seen_and_a_peer_is_found", change_and_search),
    ("refusals_are_told_with_their_rate", refusals),
    (
        "refusals_by_address_and_those_of_a_dry_run_are_told",
        addresses_and_dry_run,
    ),
    ("no_width_shows_a_part_of_a_number", widths),
    ("a_server_that_goes_away_is_waited_for", outage),
    ("a_server_that_is_slow_stops_no_key", slow_server),
    ("the_terminal_may_have_any_size", sizes),
    ("a_hostile_name_does_nothing_to_the_terminal", hostile_name),
    ("a_signal_gives_the_terminal_back", signals),
    ("it_can_be_suspended", suspended),
];

fn manager() -> Manager {
    let mut limits = Limits::unlimited();
    limits.system.memory = (64 * MIB).into();
    limits.peer_default.memory = (16 * MIB).into();
    limits.peer_default.conns_inbound = 4.into();
    Manager::new(limits).expect("the limits are good")
}

fn connect(manager: &Manager, peer: &str, memory: u64) -> Connection {
    let conn = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let conn = conn.expect("there is room");
    let peer = peer.parse().expect("it is a peer");
    conn.set_peer(&peer).expect("there is room");
    let reserved = conn.reserve_memory(memory, Priority::Always);
    reserved.expect("there is room");
    conn
}

fn watch(view: &View, more: &[&str]) -> Tmux {
    let url = format!("http://{}", view.address);
    let interval = ["--interval", "100ms"];
    Tmux::top(120, 30, &[&[&*url], &interval[..], more].concat())
}

/// The words of a matching scope's row, without the bars.
fn row<'a>(screen: &'a str, name: &str) -> Option<Vec<&'a str>> {
    // Above the rule are system and transient.
    let (_, scopes) = screen.split_once("\n──")?;
    let line = scopes
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name))?;
    let is_bar = |word: &str| word.chars().all(|char| "━─▁▂▃▄▅▆▇█".contains(char));
    let words = line.split_whitespace().skip(1);
    Some(words.filter(|word| !is_bar(word)).collect())
}

/// The first words of the row for a scope of the JSON. Memory must be whole MiB.
fn expected(scope: &Value) -> Vec<String> {
    let number = |kind: &str, of: &str| scope[kind][of].as_u64();
    let used = |of: &str| number("used", of).expect("it is a number");
    let percent = scope["utilisation"].as_f64();
    let percent = percent.map_or("-".to_owned(), |part| format!("{:.0}%", part * 100.0));
    let memory = match (used("memory") / MIB, number("limit", "memory")) {
        (0, Some(most)) => format!("0 B/{} MiB", most / MIB),
        (used, Some(most)) => format!("{used}/{} MiB", most / MIB),
        (0, None) => "0 B".to_owned(),
        (used, None) => format!("{used} MiB"),
    };
    let memory = memory.split(' ').map(str::to_owned).collect();
    let conns = match number("limit", "conns-inbound") {
        Some(most) => vec![format!("{}/{most}", used("conns-inbound")), "in".to_owned()],
        None => vec![used("conns-inbound").to_string()],
    };
    let rest = [used("streams-inbound"), used("fd")].map(|count| count.to_string());
    [vec![percent], memory, conns, rest.into()].concat()
}

/// Whether the row of each scope agrees with the JSON.
fn agrees(screen: &str, page: &Value) -> bool {
    let scopes = page["scopes"].as_array().expect("there are scopes");
    scopes.iter().all(|scope| {
        let name = scope["name"].as_str().expect("it has a name");
        let expected = expected(scope);
        row(screen, name).is_some_and(|row| row.starts_with(&words(&expected)))
    })
}

fn names(page: &Value) -> Vec<&str> {
    let scopes = page["scopes"].as_array().expect("there are scopes");
    let names = scopes.iter().map(|scope| scope["name"].as_str());
    names.map(|name| name.expect("it has a name")).collect()
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn numbers() {
    let manager = manager();
    let held = [
        connect(&manager, "192.0.2.1", 12 * MIB),
        connect(&manager, "192.0.2.1", 0),
        connect(&manager, "192.0.2.2", 4 * MIB),
    ];
    let view = View::serve(&manager, None);
    let top = watch(&view, &[]);
    let page = view.json("");
    assert_eq!(page["matched"], 6);
    let names = names(&page);
    top.wait_for_text("\n3 scopes without limits: f shows them");
    top.press(&["f"]);
    top.wait_for("row of each scope, in this order", |screen| {
        let place = |name: &&str| screen.rfind(&format!("\n{name} "));
        let in_order = names.iter().map(place).is_sorted();
        // The first scope is selected and has details.
        let first = screen.contains(" 12 MiB of 16 MiB ") && screen.contains("6 scopes");
        agrees(screen, &page) && in_order && first
    });
    top.press(&["q"]);
    top.wait_for_end(0);
    drop(held);
}

fn change_and_search() {
    let manager = manager();
    let first = connect(&manager, "192.0.2.1", 12 * MIB);
    let view = View::serve(&manager, None);
    let top = watch(&view, &["--sort", "name"]);
    top.wait_for_text("peer:192.0.2.1 ");
    let second = connect(&manager, "192.0.2.22", 2 * MIB);
    top.wait_for_text("peer:192.0.2.22 ");

    top.press(&["/"]);
    top.type_in("PEER:192.0.2.2");
    let found = "search: PEER:192.0.2.2   found: 1";
    top.wait_for(found, |screen| {
        screen.contains(found) && !screen.contains("peer:192.0.2.1 ")
    });
    top.press(&["Enter"]);
    let page = view.json("search=peer:192.0.2.22");
    top.wait_for("row of the peer", |screen| {
        agrees(screen, &page) && screen.contains("q quit")
    });
    second
        .reserve_memory(4 * MIB, Priority::Always)
        .expect("there is room");
    top.wait_for_text("6 MiB of 16 MiB");

    // A pause keeps the data, and a changed order updates it.
    top.press(&["p"]);
    top.wait_for_text("paused");
    second
        .reserve_memory(4 * MIB, Priority::Always)
        .expect("there is room");
    top.press(&["s"]);
    top.wait_for_text("sorted by utilisation");
    top.wait_for_text("10 MiB of 16 MiB");
    second.release_memory(8 * MIB);
    top.press(&["p"]);
    top.wait_for_text("  2 MiB of 16 MiB");

    top.press(&["?"]);
    top.wait_for_text("select another scope");
    top.press(&["x"]);
    top.wait_for("end of the help", |screen| {
        !screen.contains("select another")
    });
    top.press(&["C-c"]);
    top.wait_for_end(0);
    drop(first);
}

fn refusals() {
    let manager = manager();
    let full: Vec<_> = (0..4).map(|_| connect(&manager, "192.0.2.1", 0)).collect();
    let view = View::serve(&manager, None);
    let top = watch(&view, &["--sort", "refusals"]);
    top.wait_for("row without refusals", |screen| {
        row(screen, "peer:192.0.2.1").is_some_and(|row| row[8..10] == ["0", "0/s"])
    });
    let refuse = || {
        let conn = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
        let conn = conn.expect("there is room");
        let peer = "192.0.2.1".parse().expect("it is a peer");
        assert!(conn.set_peer(&peer).is_err());
    };
    // Refuse until the rate is shown, then stop.
    let screen = top.wait_for("rate", |screen| {
        refuse();
        row(screen, "peer:192.0.2.1").is_some_and(|row| row[8] != "0" && row[9] != "0/s")
    });
    let shown = row(&screen, "peer:192.0.2.1").expect("it was there");
    let rate = shown[9].trim_end_matches("/s").replace(',', "");
    let rate: f64 = rate.parse().expect("it is a number");
    assert!(rate > 0.0, "{screen}");
    let page = view.json("search=peer:192.0.2.1");
    let count = page["scopes"][0]["refusals"]["conns-inbound"].to_string();
    top.wait_for("end of the refusals", |screen| {
        row(screen, "peer:192.0.2.1")
            .is_some_and(|row| row[8].replace(',', "") == count && row[9] == "0/s")
    });
    top.press(&["Escape"]);
    top.wait_for_end(0);
    drop(full);
}

fn addresses_and_dry_run() {
    let addresses = AddressConfig {
        subnets: SubnetLimits::reference_defaults(),
        ..AddressConfig::none()
    };
    let mut limits = Limits::unlimited();
    limits.addresses = AddressLimits::new(addresses).expect("the limits are good");
    let mut dry_run = limits.clone();
    dry_run.peer_default.conns_inbound = 2.into();
    limits.dry_run = Some(Arc::new(dry_run));
    let manager = Manager::new(limits).expect("the limits are good");
    let view = View::serve(&manager, None);
    let top = watch(&view, &[]);
    top.wait_for_text("the dry run would refuse 0/s");
    // Eight connections may come from one address, and the dry run lets a peer have two.
    let peer = "192.0.2.1".parse().expect("it is a peer");
    let from = Endpoint::Ip("198.51.100.7".parse().expect("it is an address"));
    let held: Vec<_> = (0..12)
        .filter_map(|_| {
            manager
                .open_connection(Direction::Inbound, UsesFd::Yes, from)
                .ok()
        })
        .collect();
    for conn in &held {
        conn.set_peer(&peer).expect("there is no limit");
    }
    assert_eq!(held.len(), 8);
    top.wait_for("refusals by address", |screen| {
        let line = screen.lines().find(|line| line.starts_with("by address  "));
        line.is_some_and(|line| line.ends_with("  4 in all"))
    });
    top.press(&["i"]);
    top.wait_for("totals", |screen| {
        let ends = |start: &str, end: &str| {
            let mut lines = screen.lines().map(str::trim_end);
            lines.any(|line| line.starts_with(start) && line.ends_with(end))
        };
        ends("refused by subnet", "  4 in all")
            && ends("198.51.100.7/32", "  4        0          4")
            && ends("ConnsInbound", "  6 in all")
    });
    top.press(&["Escape", "q"]);
    top.wait_for_end(0);
    drop(held);
}

/// The number of refusals that was shown as `1` at 80 columns.
const REFUSALS: u64 = 133_564;

fn widths() {
    let manager = manager();
    let full: Vec<_> = (0..4).map(|_| connect(&manager, "192.0.2.1", 0)).collect();
    let view = View::serve(&manager, None);
    let top = watch(&view, &["--sort", "refusals"]);
    top.wait_for_text("REFUSED NOW  nothing");
    let peer = "192.0.2.1".parse().expect("it is a peer");
    for _ in 0..REFUSALS {
        let conn = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
        let conn = conn.expect("there is room");
        assert!(conn.set_peer(&peer).is_err());
    }
    top.press(&["Enter"]);
    for width in [200, 120, 80, 40] {
        top.resize(width, 24);
        top.wait_for("details with the whole number", |screen| {
            let is_resized = screen
                .lines()
                .all(|line| line.chars().count() <= width.into());
            is_resized && screen.contains("refused 134k") && screen.contains("Esc back")
        });
        top.press(&["Escape"]);
        top.wait_for(
            "row with the whole number and no rate any longer",
            |screen| {
                let row = row(screen, "peer:192.0.2.1");
                row.is_some_and(|row| row.contains(&"0/s") && row.contains(&"134k"))
            },
        );
        top.press(&["Enter"]);
    }
    top.press(&["C-c"]);
    top.wait_for_end(0);
    drop(full);
}

fn outage() {
    let manager = manager();
    let held = connect(&manager, "192.0.2.1", 12 * MIB);
    let view = View::serve(&manager, None);
    let address = view.address;
    let top = watch(&view, &[]);
    top.wait_for_text("12 MiB of 16 MiB");
    drop(view);
    top.wait_for("reason beside what was known", |screen| {
        let reason = screen.contains("no answer for") && screen.contains(": connection refused");
        reason && screen.contains("12 MiB of 16 MiB")
    });
    // What was refused per second is not known now.
    let screen = top.wait_for_text("REFUSED NOW  unknown: no answer");
    assert!(!screen.contains("/s"), "{screen}");
    held.release_memory(4 * MIB);
    let again = View::serve(&manager, Some(address));
    top.wait_for("answer", |screen| {
        screen.contains("answers in") && screen.contains("8 MiB of 16 MiB")
    });
    top.press(&["q"]);
    top.wait_for_end(0);
    drop(again);
}

fn slow_server() {
    // The server accepts connections but never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = silent.local_addr().expect("it is bound");
    let top = Tmux::top(120, 30, &[&address.to_string()]);
    top.wait_for_text("waiting for ");
    top.press(&["s"]);
    top.wait_for("new order meanwhile", |screen| {
        screen.contains("waiting for ") && screen.contains("sorted by memory")
    });
    top.press(&["q"]);
    top.wait_for_end(0);
}

fn sizes() {
    let manager = manager();
    let held: Vec<_> = (0..100)
        .map(|number| connect(&manager, &format!("peer-{number}"), MIB / 2))
        .collect();
    let view = View::serve(&manager, None);
    let top = watch(&view, &["--sort", "name"]);
    top.wait_for_text("peer:peer-0 ");
    top.resize(20, 5);
    top.wait_for("small screen", |screen| {
        screen.lines().count() == 5 && screen.contains("\nSCOPE ") && screen.contains(" NOW\n")
    });
    for (width, height) in [(1, 1), (2, 40), (200, 2), (9, 9)] {
        top.resize(width, height);
        top.press(&["Down"]);
    }
    top.resize(100, 40);
    top.press(&["End"]);
    let page = view.json("sort=name&limit=1000");
    let names = names(&page);
    let [first, last] = [names[0], names[names.len() - 1]];
    let shows = |screen: &str, name: &str| row(screen, name).is_some();
    top.wait_for("end of the scopes", |screen| {
        shows(screen, last) && !shows(screen, first)
    });
    top.press(&["Home"]);
    top.wait_for("begin of the scopes", |screen| {
        shows(screen, first) && !shows(screen, last)
    });
    top.press(&["q"]);
    top.wait_for_end(0);
    drop(held);
}

fn hostile_name() {
    let page = page_of("peer:\x1b]0;owned\x07\x1b[?1049l\x1b[2J\r\n\u{202e}日本");
    let server = says(answer("200 OK", &page));
    let top = Tmux::top(120, 30, &[&server.to_string()]);
    let title = top.tell("#{pane_title}");
    let name = "peer:\\u{1b}]0;owned\\u{7}\\u{1b}[?1049l\\u{1b}[2J\\r\\n\\u{202e}日本";
    top.wait_for("name that is escaped", |screen| {
        screen.contains(name) && screen.starts_with("rcmgr top ")
    });
    assert_eq!(
        top.tell("#{alternate_on} #{pane_title}"),
        format!("1 {title}")
    );
    top.press(&["q"]);
    top.wait_for_end(0);
}

fn signals() {
    let manager = manager();
    let view = View::serve(&manager, None);
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        let script = r#"
            before=$(stty -g)
            echo "before it"
            sh -c 'echo $$ >"$0"; exec "$@"' "$@"
            echo "status $?"
            [ "$(stty -g)" = "$before" ] && echo "settings restored"
            exec cat
        "#;
        let file = tempfile::NamedTempFile::new().expect("there is room");
        let path = file.path().to_str().expect("it is UTF-8");
        let program = env!("CARGO_BIN_EXE_rcmgr");
        let url = view.address.to_string();
        let top = Tmux::script(80, 24, script, &[path, program, "top", &url]);
        top.wait_for_text("answers in");
        let id = std::fs::read_to_string(path).expect("it was written");
        let kill = Command::new("kill")
            .args(["-s", signal, id.trim()])
            .status();
        assert!(kill.expect("there is kill").success());
        top.wait_for_end(128 + number);
    }
}

fn suspended() {
    let manager = manager();
    let view = View::serve(&manager, None);
    let script = r#"
        set -m
        "$@"
        echo "suspended"
        read -r line
        fg
        echo "status $?"
        exec cat
    "#;
    let program = env!("CARGO_BIN_EXE_rcmgr");
    let url = view.address.to_string();
    let top = Tmux::script(80, 24, script, &[program, "top", &url]);
    top.wait_for_text("answers in");
    top.press(&["C-z"]);
    top.wait_for_text("suspended");
    assert_eq!(top.tell("#{alternate_on} #{cursor_flag}"), "0 1");
    top.press(&["Enter"]);
    top.wait_for_text("answers in");
    top.wait_for_text("q quit");
    top.press(&["q"]);
    top.wait_for_text("status 0");
}
