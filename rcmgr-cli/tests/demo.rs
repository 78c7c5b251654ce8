//! Runs `rcmgr demo`.

mod demo_report;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use demo_report::{number, rcmgr, report, row, text};

/// The stderr of a run with a wrong argument.
fn complaint(arguments: &[&str]) -> String {
    let run = rcmgr(arguments);
    assert_eq!(run.status.code(), Some(2), "{arguments:?}");
    assert!(run.stdout.is_empty(), "{arguments:?}");
    text(&run.stderr).to_owned()
}

#[test]
fn a_short_demo_ends_with_every_counter_at_zero() {
    let run = rcmgr(&["demo", "--seconds", "1", "--connections", "200"]);
    let report = report(&run);
    assert!(number(row(report, "most admitted at once")[0]) >= 200);
    assert_ne!(row(report, "manager: to admit")[1], "-");
    assert_eq!(row(report, "honest")[0], "16");
    // The progress is not in the report.
    assert!(text(&run.stderr).contains("honest connections: 200 (addresses: 16)"));
}

/// The number in a cell like `12.3 %`.
fn percent(cell: &str) -> f64 {
    let number = cell.strip_suffix(" %").expect("a percentage");
    number.parse().expect("a number")
}

#[test]
fn the_same_flood_harms_honest_clients_only_without_the_manager() {
    let run = rcmgr(&["demo", "--seconds=2", "--connections=200", "--no-http"]);
    let report = report(&run);
    let answered = row(report, "honest requests answered");
    assert!(percent(answered[0]) < percent(answered[1]), "{report}");
    // The hoarders claim more memory than there is, and then the server crashes.
    let crashes = row(report, "server crashes, out of memory");
    assert!(number(crashes[0]) > 0, "{report}");
    assert_eq!(crashes[1], "0");
    let lost = row(report, "honest connections lost");
    assert!(number(lost[0]) > 0, "{report}");
}

#[test]
fn a_demo_writes_a_trace_that_can_be_replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("demo.json.gz");
    let file = file.to_str().expect("the path is text");
    let run = rcmgr(&["demo", "--seconds=1", "--connections=50", "--trace", file]);
    report(&run);
    let said = format!("trace: {file}: ");
    let lines = text(&run.stderr).lines();
    let line = lines.filter_map(|line| line.strip_prefix(&said)).next();
    let line = line.expect("it says what was written");
    assert!(number(line.split(' ').next().expect("a number")) > 50);

    let replayed = rcmgr(&["replay", "--json", file]);
    assert_eq!(text(&replayed.stderr), "");
    let json: serde_json::Value = serde_json::from_slice(&replayed.stdout).expect("it is JSON");
    assert_eq!(json["system"], serde_json::json!([0, 0, 0, 0, 0, 0]));
    assert_eq!(json["restarts"], 0);
    let of_peers = json["classes"].as_array().expect("a list").iter();
    let mut of_peers = of_peers.filter(|class| class["class"] == "peer");
    assert_eq!(of_peers.next().expect("there were peers")["live"], 0);

    let nowhere = folder.path().join("nowhere").join("demo.json.gz");
    let nowhere = nowhere.to_str().expect("text");
    let run = rcmgr(&["demo", "--seconds=1", "--trace", nowhere]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("nowhere/demo.json.gz: "));
}

#[test]
fn without_a_flood_there_is_only_a_run_with_the_manager() {
    let run = rcmgr(&["demo", "--seconds=1", "--connections=10", "--flooding=0"]);
    let report = report(&run);
    assert!(!report.contains("without the manager"), "{report}");
    assert!(!report.contains("rcmgr guard"), "{report}");
    assert_eq!(
        row(report, "honest")[0],
        "10",
        "an address has one at least"
    );
    assert_eq!(row(report, "all")[..3], ["0", "0", "0"]);
    assert!(!text(&run.stderr).contains("WARN"), "nothing is refused");
    assert_eq!(row(report, "manager: to refuse")[..3], ["0", "-", "-"]);
}

#[test]
fn custom_limits_are_enforced() {
    let run = rcmgr(&[
        "demo",
        "--seconds=1",
        "--connections=60",
        "--honest=4",
        "--limits=PeerDefault.ConnsInbound=5,conn.memory=8KiB",
        "--limits=transient.conns=3",
    ]);
    let report = report(&run);
    let honest = row(report, "peer:127.0.1.1 to peer:127.0.1.4, highest");
    assert_eq!(honest[0], "5 of 5");
    assert!(number(row(report, "peer")[0]) > 0);
    assert!(number(row(report, "conn")[2]) > 0);
    let transient = row(report, "transient");
    assert!(number(transient[0]) > 0, "{report}");
    // The log names each limit, so that the user can change it.
    let said = text(&run.stderr);
    for key in ["PeerDefault.ConnsInbound", "Conn.Memory", "Transient.Conns"] {
        assert!(said.contains(key), "{key} in {said}");
    }
}

#[test]
fn limits_of_a_file_apply_unless_an_argument_overrides_them() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo-limits.toml");
    let text = "[PeerDefault]\nConnsInbound = 5\n[Transient]\nConns = 4\n";
    fs::write(&file, text).expect("a file can be written");
    let file = format!("--limits-file={}", file.display());
    let run = rcmgr(&[
        "demo",
        "--seconds=1",
        "--connections=60",
        "--honest=4",
        &file,
        "--limits=transient.conns=3",
    ]);
    let report = report(&run);
    let honest = row(report, "peer:127.0.1.1 to peer:127.0.1.4, highest");
    assert_eq!(honest[0], "5 of 5");
    assert!(report.contains(" of 3 "), "{report}");
}

#[test]
fn limits_by_address_of_a_file_are_enforced() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo-addresses.toml");
    let text = "[Addresses]\nTrusted = []\n[Addresses.Subnets]\n\"IPv4/32\" = 3\n";
    fs::write(&file, text).expect("a file can be written");
    let file = format!("--limits-file={}", file.display());
    let run = rcmgr(&[
        "demo",
        "--seconds=1",
        "--connections=64",
        "--flooding=1",
        &file,
    ]);
    let report = report(&run);
    assert!(number(row(report, "addresses")[0]) > 0, "{report}");
    let honest = row(report, "peer:127.0.1.1 to peer:127.0.1.16, highest");
    assert!(honest[0].starts_with("3 of"), "{honest:?}");
}

#[test]
fn a_bad_file_of_limits_is_a_clear_error() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo-bad.toml");
    fs::write(&file, "[System]\nMemry = 1\n").expect("a file can be written");
    let file = file.to_str().expect("the path is text");
    let run = rcmgr(&["demo", "--limits-file", file]);
    assert_eq!(run.status.code(), Some(1));
    let line = format!("{file}:2: System.Memry: unknown key; did you mean \"Memory\"?\n");
    assert_eq!(text(&run.stderr), line);
    let gone = rcmgr(&["demo", "--limits-file=gone.toml"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).starts_with("gone.toml: "));
}

#[test]
fn a_server_without_connections_admits_no_client() {
    let run = rcmgr(&[
        "demo",
        "--seconds=1",
        "--connections=20",
        "--limits=System.Conns=0",
    ]);
    let report = report(&run);
    assert_eq!(row(report, "opened by the manager")[0], "0");
    assert_eq!(row(report, "manager: to admit")[..3], ["0", "-", "-"]);
    assert!(number(row(report, "manager: to refuse")[0]) > 0);
}

#[test]
fn with_one_address_clients_are_identified_by_their_hello() {
    let run = rcmgr(&["demo", "--seconds=1", "--connections=20", "--one-address"]);
    let report = report(&run);
    assert!(report.contains("note: all clients connect from one address"));
    let honest = row(report, "peer:127.0.1.1 to peer:127.0.1.16, highest");
    assert!(honest[0].starts_with("2 of"), "{honest:?}");
}

#[cfg(unix)]
#[test]
fn with_few_file_descriptors_the_demo_uses_fewer_connections() {
    let limited = format!(
        "ulimit -n 256; exec '{}' demo --seconds 1",
        env!("CARGO_BIN_EXE_rcmgr"),
    );
    let run = Command::new("sh").args(["-c", &limited]).output();
    let run = run.expect("there is a shell");
    let report = report(&run);
    assert!(report.contains("only 256 are allowed"), "{report}");
    assert!(report.contains("honest connections from 2,000"), "{report}");
    assert!(
        !report.contains("Errors of the operating system"),
        "{report}"
    );
}

#[cfg(unix)]
#[test]
fn without_enough_file_descriptors_the_error_has_the_number() {
    let limited = format!("ulimit -n 40; exec '{}' demo", env!("CARGO_BIN_EXE_rcmgr"));
    let run = Command::new("sh").args(["-c", &limited]).output();
    let run = run.expect("there is a shell");
    assert_eq!(run.status.code(), Some(1));
    let errors = text(&run.stderr);
    assert!(errors.contains("but only 40 are allowed"), "{errors}");
}

/// The answer of a server to a GET request.
fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("the view is there");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("it listens");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer
}

#[test]
fn a_browser_can_watch() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_rcmgr"))
        .args(["demo", "--seconds", "2", "--connections", "50"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = BufReader::new(demo.stderr.take().expect("it is piped")).lines();
    let address = said.find_map(|line| {
        let line = line.expect("the output is text");
        let address = line.strip_prefix("live view: http://")?;
        Some(address.trim_end_matches('/').to_owned())
    });
    let address = address.expect("it says where the view is");
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert!(get(&address, "/").contains("<!doctype html>"));
    // The first admitted connection creates the share of its peer in the service.
    let page = loop {
        let answer = get(&address, "/rcmgr.json?search=service:echo.peer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("there is a body");
        let page: serde_json::Value = serde_json::from_str(body).expect("the body is JSON");
        if page["matched"] != 0 {
            break page;
        }
    };
    assert_eq!(page["scopes"][0]["parent"], "service:echo");
    assert!(get(&address, "/metrics").contains("libp2p_rcmgr_connections"));
    // Keep reading stderr until the demo ends.
    let rest = std::thread::spawn(move || said.count());
    let run = demo.wait_with_output().expect("it ends");
    report(&Output {
        stderr: Vec::new(),
        ..run
    });
    rest.join().expect("it was text");
}

#[test]
fn the_view_is_optional() {
    let run = rcmgr(&[
        "demo",
        "--seconds=1",
        "--connections=10",
        "--flooding=0",
        "--no-http",
    ]);
    report(&run);
    assert!(!text(&run.stderr).contains("live view"));
    assert!(complaint(&["demo", "--http=127.0.0.1:0", "--no-http"]).contains("--no-http"));
}

#[test]
fn the_address_of_the_view_can_be_a_name() {
    for host in ["localhost:0", "127.0.0.1:0", "LOCALHOST:0"] {
        let run = rcmgr(&[
            "demo",
            "--seconds=1",
            "--connections=1",
            "--flooding=0",
            "--http",
            host,
        ]);
        report(&run);
        let said = text(&run.stderr);
        let address = said
            .lines()
            .find_map(|line| line.strip_prefix("live view: http://"));
        let address = address
            .expect("it says where the view is")
            .trim_end_matches('/');
        let address: std::net::SocketAddr = address.parse().expect("an address");
        assert!(address.ip().is_loopback() && address.port() != 0, "{said}");
    }
    for wrong in [
        "nowhere",
        "localhost",
        ":9000",
        "localhost:http",
        "::1:x",
        "localhost:70000",
    ] {
        let error = complaint(&["demo", &format!("--http={wrong}")]);
        assert!(
            error.contains("expected HOST:PORT, such as localhost:9000"),
            "{error}"
        );
    }
    // It looks like an address, but there is no such host.
    let run = rcmgr(&["demo", "--http=no-such-host.invalid:9000"]);
    assert_eq!(run.status.code(), Some(1));
    let errors = text(&run.stderr);
    let line = "cannot serve the live view on no-such-host.invalid:9000: ";
    assert!(errors.contains(line), "{errors}");
}

/// Starts a long demo, waits for a line of its progress, and interrupts it.
#[cfg(unix)]
fn interrupted(progress: &str) -> Output {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_rcmgr"))
        .args(["demo", "--seconds=600", "--connections=50", "--no-http"])
        .args((!progress.contains("without")).then_some("--flooding=0"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = BufReader::new(demo.stderr.take().expect("it is piped")).lines();
    let line = said.find(|line| {
        line.as_ref()
            .expect("the output is text")
            .contains(progress)
    });
    assert!(line.is_some(), "no {progress}");
    let kill = Command::new("kill")
        .args(["-INT", &demo.id().to_string()])
        .status();
    assert!(kill.expect("there is a kill").success());
    let rest = std::thread::spawn(move || said.count());
    let run = demo.wait_with_output().expect("it ends");
    rest.join().expect("it was text");
    run
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_demo_with_its_summary() {
    for progress in [
        "without the manager, one address hoards",
        "with the manager, ",
    ] {
        let run = interrupted(progress);
        let report = report(&run);
        assert!(report.contains("note: interrupted"), "{report}");
        let honest = number(row(report, "honest")[1]);
        match progress.contains("without") {
            true => {
                let answered = row(report, "honest requests answered");
                assert!(percent(answered[0]) < 100.0, "{report}");
                assert_eq!(answered[1], "-", "the run with the manager did not begin");
                assert_eq!(honest, 0);
            }
            false => assert!(honest >= 50, "{report}"),
        }
    }
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = taken.local_addr().expect("it is bound");
    let run = rcmgr(&["demo", &format!("--http={address}")]);
    assert_eq!(run.status.code(), Some(1));
    let errors = text(&run.stderr);
    assert!(
        errors.contains(&format!("cannot serve the live view on {address}: ")),
        "{errors}"
    );
}

#[test]
fn a_wrong_argument_is_a_clear_error() {
    let seconds = complaint(&["demo", "--seconds", "0"]);
    assert!(seconds.contains("--seconds") && seconds.contains("1..=3600"));
    let connections = complaint(&["demo", "--connections", "many"]);
    assert!(connections.contains("'many'") && connections.contains("--connections"));
    let limits = complaint(&["demo", "--limits", "system.conns=5,peer.cons=5"]);
    assert!(
        limits.contains("setting 2, `peer.cons=5`: unknown field `cons`"),
        "{limits}"
    );
    assert!(complaint(&["demo", "--second", "5"]).contains("--seconds"));
}

#[test]
fn an_option_without_effect_is_an_error() {
    let honest = complaint(&["demo", "--connections=3", "--honest=4"]);
    assert!(honest.contains("--honest 4 has no effect"), "{honest}");
    let stream = complaint(&["demo", "--limits=Stream.Memory=1"]);
    assert!(stream.contains("Stream has no effect"), "{stream}");
    let peer = complaint(&["demo", "--limits=Peer.192.0.2.7.Conns=1"]);
    assert!(peer.contains("Peer.192.0.2.7 has no effect"), "{peer}");
    let outbound = complaint(&["demo", "--limits=System.ConnsOutbound=1"]);
    assert!(
        outbound.contains("ConnsOutbound has no effect"),
        "{outbound}"
    );
}
