//! The table, warnings, and wrong arguments.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rcmgr_atomic::Limits;
use rcmgr_config::{PartialLimits, ScalingLimits};

use crate::{DEFAULTS, Folder, PEER, Run, server, squeezed};

#[test]
fn the_table_has_the_numbers_of_the_contract() {
    let table = Folder::new("golden", &[]).limits(&[]).good();
    assert_eq!(table, include_str!("1gib-1000fds.txt"));
}

#[test]
fn without_options_the_limits_are_those_of_the_program_in_the_readme() {
    let file = "[PeerDefault]\nConnsInbound = 8\nMemory = '16 MiB'\n";
    let folder = Folder::new("readme", &[("limits.toml", file)]);
    let text = folder.run(&["limits.toml", "--json"]).good();
    let shown = PartialLimits::from_json(&text).unwrap();
    let of_program = PartialLimits::from_toml(file)
        .unwrap()
        .build(&ScalingLimits::server().auto_scale());
    assert_eq!(shown.build(&Limits::unlimited()), of_program);
    // The same in words.
    let described = folder.run(&["limits.toml"]).good();
    let first = described.lines().next().unwrap();
    assert!(
        first.starts_with("limits.toml, over preset server, scaled to "),
        "{first}"
    );
    let libp2p = folder
        .run(&["limits.toml", "--preset=libp2p", "--json"])
        .good();
    assert_ne!(libp2p, text);
    // The name that the preset had before.
    let old = folder
        .run(&["limits.toml", "--preset=default", "--json"])
        .good();
    assert_eq!(old, libp2p);
}

#[test]
fn defaults_without_options_use_this_machine() {
    let table = Folder::new("machine", &[]).run(&[]).good();
    let (scaled, _) = table.split_once('\n').unwrap();
    assert!(scaled.contains("(1/8 of the "), "{scaled}");
    assert!(scaled.contains("(1/2 of the "), "{scaled}");
}

#[test]
fn the_table_shows_the_values_of_a_file() {
    let run = server("table").limits(&["server.toml"]);
    let description = "server.toml, over preset libp2p, scaled to 1 GiB of memory and 1000 fds";
    assert_eq!(run.line("server.toml,"), description);
    assert_eq!(
        squeezed(run.line("System")),
        "System 128 256 256 2048 4096 4096 *900 *512 MiB server.toml:2-3, scaled"
    );
    assert_eq!(
        squeezed(run.line("PeerDefault")),
        "PeerDefault *∞ 8 *16 384 768 768 15 192 MiB server.toml:6-7, scaled"
    );
    let peer = run.out.lines().skip_while(|line| *line != PEER).nth(1);
    assert_eq!(
        squeezed(peer.expect("the peer has a line of its own, and one of numbers")),
        "∞ 8 *64 384 768 768 15 192 MiB server.toml:10, as PeerDefault"
    );
    let widest = Folder::new("widest", &[])
        .run(&["--preset=server", "--memory=1GiB", "--fds=1000"])
        .good();
    let widest = widest.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?}");
}

#[test]
fn chosen_scopes_are_shown_alone() {
    let folder = server("scopes");
    let run = folder.limits(&[
        "server.toml",
        "--scope",
        "Conn",
        "--scope=Peer.tenant-7",
        "--explain",
    ]);
    assert_eq!(run.out.lines().count(), 1 + 2 * 8);
    // It has no entry, so it has the limits of its class.
    assert_eq!(
        squeezed(run.line("Peer.tenant-7.Conns ")),
        "Peer.tenant-7.Conns 16 as PeerDefault: server.toml:6"
    );
    let unknown = folder.limits(&["--scope", "Sistem"]).wrong_use();
    assert!(
        unknown.contains("there is no such scope; the scopes are System,"),
        "{unknown}"
    );
}

#[test]
fn the_later_of_two_files_wins() {
    let files = [
        ("a.toml", "[Conn]\nFD = 2\nConns = 2\n"),
        ("b.json", r#"{"Conn": {"FD": 3}}"#),
    ];
    let run = Folder::new("two", &files).limits(&["a.toml", "b.json", "--scope=Conn"]);
    assert_eq!(
        squeezed(run.line("Conn ")),
        "Conn 1 1 *2 0 0 0 *3 32 MiB b.json:1, a.toml:3, fixed"
    );
    assert!(
        run.out
            .starts_with("b.json, over a.toml, over preset libp2p,"),
        "{}",
        run.out
    );
}

#[test]
fn limits_that_cannot_work_are_warnings() {
    let file = "[PeerDefault]\nFD = 5000\nConnsInbound = 9\n[Transient]\nConns = 0\n\
                [System]\nFD = 9223372036854775807\n";
    let run = Folder::new("warnings", &[("odd.toml", file)]).limits(&["odd.toml"]);
    assert_eq!(run.status, 0);
    let lines: Vec<_> = run.err.lines().collect();
    let known = [
        "warning: Transient.Conns: no connections are allowed, so none can be opened",
        "warning: PeerDefault.ConnsInbound: 9 cannot be reached: the limit of both directions \
         together is 8",
    ];
    for warning in known {
        assert!(lines.contains(&warning), "{lines:?}");
    }
    let over = "warning: System.FD: 9223372036854775807 is more than the ";
    assert!(lines.iter().any(|line| line.starts_with(over)), "{lines:?}");
}

#[test]
fn a_wrong_argument_is_a_clear_error() {
    let folder = Folder::new(
        "wrong",
        &[("typo.toml", "[System]\nConns = 1\nMemry = 1\n")],
    );
    let cases: [(&[&str], &str); 10] = [
        (
            &["--fds=1", "check", "a.toml"],
            "the command must come before all options",
        ),
        (
            &["--memory=1M"],
            "'1M' for '--memory <SIZE>': unknown unit \"M\"",
        ),
        (
            &["--memory=lots"],
            "expected a number of bytes such as 1048576, \"512 MiB\"",
        ),
        (&["--fds=-1"], "'-1' for '--fds <NUMBER>'"),
        (
            &["--budget=512MiB"],
            "expected SIZE,NUMBER, as in 512MiB,4096",
        ),
        (&["--budget=5x,4"], "memory \"5x\": unknown unit \"x\""),
        (
            &["--budget=5,x"],
            "file descriptors \"x\": expected a whole number",
        ),
        (&["--preset=lib"], "[possible values: server, libp2p]"),
        (&["--json", "--toml"], "cannot be used with"),
        (&["--explain", "--toml"], "cannot be used with"),
    ];
    for (arguments, message) in cases {
        let error = folder.run(arguments).wrong_use();
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(
        folder.limits(&["typo.toml"]).wrong_file(),
        "typo.toml:3: System.Memry: unknown key; did you mean \"Memory\"?\n"
    );
    assert_eq!(
        folder.limits(&["limits.yaml"]).wrong_file(),
        "limits.yaml: the name ends neither in .json nor in .toml\n"
    );
}

#[test]
fn a_reader_that_exits_early_is_not_an_error() {
    // The output is longer than the buffer of a pipe, so that the program notices the close.
    let entry = |number: usize| format!("[Protocol.p{number}]\nConns = {number}\n");
    let file: String = (0..1000).map(entry).collect();
    let folder = Folder::new("pipe", &[("long.toml", &file)]);
    let mut command = folder.command(&["long.toml", "--explain"]);
    command
        .args(DEFAULTS)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.status, 0, "{run:?}");
    assert!(!run.err.contains("panic"), "{run:?}");
}

#[test]
fn names_from_files_cannot_move_the_cursor() {
    let file = "[Service.\"a\\u001b[2J\\nb\"]\nConns = 1\n";
    let folder = Folder::new("cursor", &[("odd.toml", file)]);
    for arguments in [
        &["odd.toml"][..],
        &["odd.toml", "--explain"],
        &["odd.toml", "--toml"],
    ] {
        let out = folder.limits(arguments).good();
        assert!(!out.contains('\u{1b}'), "{out:?}");
    }
}

#[test]
fn the_help_distinguishes_scaling_from_a_budget() {
    // Line breaks depend on the width of the terminal.
    let help = squeezed(&Folder::new("help", &[]).run(&["--help"]).good());
    for text in [
        "this is not a cap",
        "This is a cap: System gets exactly SIZE and NUMBER",
        "exit status",
    ] {
        assert!(help.contains(text), "{help}");
    }
}
