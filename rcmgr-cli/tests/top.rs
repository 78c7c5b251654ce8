//! Runs `rcmgr top` without a terminal.

mod view;

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::task::{Context, Waker};

use rcmgr_atomic::{Direction, Endpoint, KIB, Limits, Manager, Priority, UsesFd};
use view::{View, answer, page_of, says};

fn top(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rcmgr"));
    // The program must ignore proxy settings.
    program.env("http_proxy", "http://127.0.0.1:1").arg("top");
    program
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// The output for a server.
fn printed(server: SocketAddr, arguments: &[&str]) -> String {
    let url = server.to_string();
    let run = top(&[&[&*url], arguments].concat());
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    assert!(run.stderr.is_empty());
    text(&run.stdout).to_owned()
}

/// The error for a server.
fn complaint(server: SocketAddr) -> String {
    let run = top(&[&format!("http://{server}/")]);
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stdout));
    assert!(run.stdout.is_empty());
    let said = text(&run.stderr);
    let said = said.strip_prefix(&format!("rcmgr: http://{server}: "));
    let said = said.expect("it says who").trim_end();
    assert!(!said.contains(char::is_control), "{said:?}");
    said.to_owned()
}

/// The words of the last line of a scope. System and transient may also be in the lines above.
fn row(printed: &str, name: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = printed.lines().map(words).collect();
    let row = rows
        .into_iter()
        .rfind(|row| row.first().is_some_and(|first| first == name));
    row.unwrap_or_else(|| panic!("no {name} in\n{printed}"))
}

#[test]
fn the_current_state_is_printed_once() {
    let mut limits = Limits::unlimited();
    limits.peer_default.conns_inbound = 2.into();
    limits.peer_default.memory = (64 * KIB).into();
    let manager = Manager::new(limits).expect("the limits are good");
    let connect = |peer: &str| {
        let conn = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
        conn.set_peer(&peer.parse().expect("it is a peer"))?;
        Ok::<_, rcmgr_atomic::Error>(conn)
    };
    let held = [
        connect("192.0.2.7"),
        connect("192.0.2.7"),
        connect("a+b &=%?#"),
    ];
    let held = held.map(|conn| conn.expect("there is room"));
    assert!(connect("192.0.2.7").is_err());
    held[0]
        .reserve_memory(16 * KIB, Priority::Always)
        .expect("there is room");
    let view = View::serve(&manager, None);

    for arguments in [&["--once"][..], &[]] {
        let printed = printed(view.address, arguments);
        let total = &view.json("")["total"];
        let url = format!("http://{}  {total} scopes\n", view.address);
        assert!(printed.starts_with(&url), "{printed}");
        assert!(printed.contains("sorted by utilisation"));
        let bars = ["━━──────", "━━━━━━━━"];
        let expected = [
            "peer:192.0.2.7",
            "100%",
            bars[0],
            "16/64",
            "KiB",
            bars[1],
            "2/2",
            "in",
            "0",
            "2",
            "1",
            "0/s",
        ];
        assert_eq!(row(&printed, "peer:192.0.2.7")[..12], expected, "{printed}");
        assert_eq!(
            row(&printed, "system")[1..5],
            ["-", "16", "KiB", "3"],
            "{printed}"
        );
    }
    let searched = printed(view.address, &["--search", "A+B &=%?#"]);
    assert!(
        searched.contains("search: A+B &=%?#   found: 1\n"),
        "{searched}"
    );
    assert!(searched.contains("\npeer:a+b &=%?# ") && !searched.contains("peer:192"));
    let sorted = printed(view.address, &["--sort", "name"]);
    assert!(sorted.contains("sorted by name\n"), "{sorted}");
    // The names of fields are those of limits files.
    for (field, order) in [
        ("Conns", "conns"),
        ("Memory", "memory"),
        ("STREAMS", "streams"),
    ] {
        let printed = printed(view.address, &["--sort", field, "--interval", "100ms"]);
        assert!(
            printed.contains(&format!("sorted by {order}\n")),
            "{printed}"
        );
    }
    let place = |name| sorted.rfind(&format!("\n{name} ")).expect("it is there");
    assert!(place("peer:192.0.2.7") < place("peer:a+b"));
    drop(held);
}

#[test]
fn requests_that_wait_are_printed_with_their_scope_and_resource() {
    let mut limits = Limits::unlimited();
    limits.peer_default.memory = (64 * KIB).into();
    let manager = Manager::new(limits).expect("the limits are good");
    let view = View::serve(&manager, None);
    assert!(!printed(view.address, &[]).contains("waiting"));

    let peer = manager.view_peer(&"192.0.2.7".parse().expect("it is a peer"));
    let held = peer
        .reserve(64 * KIB, Priority::Always)
        .expect("there is room");
    let mut task = Context::from_waker(Waker::noop());
    let mut waiting =
        [4, 8].map(|kib| Box::pin(peer.reserve_when_available(kib * KIB, Priority::Low)));
    for one in &mut waiting {
        assert!(one.as_mut().poll(&mut task).is_pending());
    }
    let now = printed(view.address, &[]);
    assert!(now.contains("\nwaiting  2 requests  longest "), "{now}");
    assert!(
        now.contains("  Memory of peer:192.0.2.7  granted 0/s  2 in all\n"),
        "{now}"
    );
    let queue = now
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("WAITED"));
    let queue: Vec<_> = queue.take(2).collect();
    assert!(
        queue[0].ends_with("REQUESTS  AMOUNT  RESOURCE  SCOPE"),
        "{now}"
    );
    assert!(
        queue[1].ends_with("       2  12 KiB  Memory    peer:192.0.2.7"),
        "{now}"
    );

    drop(waiting);
    let after = printed(view.address, &[]);
    assert!(
        after.contains("\nwaiting  nothing now  granted 0/s  2 in all\n"),
        "{after}"
    );
    drop(held);
}

#[test]
fn control_sequences_in_names_are_escaped() {
    let page = page_of("peer:\x1b]0;owned\x07\x1b[2J\r\n\u{202e}日本");
    let printed = printed(says(answer("200 OK", &page)), &[]);
    assert!(!printed.contains(|char: char| char.is_control() && char != '\n'));
    let name = "\npeer:\\u{1b}]0;owned\\u{7}\\u{1b}[2J\\r\\n\\u{202e}日本 ";
    assert!(printed.contains(name), "{printed}");
}

#[test]
fn a_server_that_is_not_a_view_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let gone = listener.local_addr().expect("it is bound");
    drop(listener);
    assert_eq!(complaint(gone), "connection refused");

    let cases = [
        (
            answer("404 Not Found", ""),
            "the server answered 404 Not Found",
        ),
        (
            answer("400 Bad Request", "no\x1b[2J such thing\n"),
            "the server answered 400 Bad Request: no\\u{1b}[2J such thing",
        ),
        (
            answer("502 Bad Gateway", "<!doctype html><p>long"),
            "the server answered 502 Bad Gateway",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n".into(),
            "the server answered 302 Found",
        ),
        (
            answer("200 OK", "<html>"),
            "this is not a live view of rcmgr: expected value at line 1 column 1",
        ),
        (
            answer("200 OK", "{\"total\": 1}"),
            "this is not a live view of rcmgr: missing field `matched` at line 1 column 12",
        ),
        (
            answer("200 OK", &page_of("a").replace("100", "-100")),
            "this is not a live view of rcmgr: a limit must be a whole number or \"unlimited\"",
        ),
        (String::new(), "the connection was closed before the answer"),
        (
            answer("200 OK", &" ".repeat(9 << 20)),
            "the answer is longer than 8388608 bytes",
        ),
    ];
    for (answer, expected) in cases {
        let said = complaint(says(answer));
        assert!(said.starts_with(expected), "{said}");
        assert!(said.chars().count() <= 200);
    }
    assert!(!complaint(says("SSH-2.0-OpenSSH\r\n")).is_empty());
}

#[test]
fn a_wrong_argument_is_a_clear_error() {
    let cases: [(&[&str], &str); 8] = [
        (&[], "<URL>"),
        (
            &["a:99999"],
            "the port must be from 1 to 65535, not \"99999\"",
        ),
        (&["https://a"], "https is not supported"),
        (&["a b"], "'a b'"),
        (&["a", "--interval", "0s"], "a time from 100ms to 1h"),
        (&["a", "--interval", "fast"], "'fast'"),
        (
            &["a", "--sort", "size"],
            "utilisation, memory, streams, conns, refusals, name",
        ),
        (
            &["a", "--search", &"x".repeat(201)],
            "longer than 200 bytes",
        ),
    ];
    for (arguments, why) in cases {
        let run = top(arguments);
        assert_eq!(run.status.code(), Some(2), "{arguments:?}");
        assert!(run.stdout.is_empty(), "{arguments:?}");
        let said = text(&run.stderr);
        assert!(said.contains(why), "{said}");
    }
}
