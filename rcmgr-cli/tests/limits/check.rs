//! `rcmgr limits check`.

use crate::{DEFAULTS, Folder, Run};

const GOOD: &str = "[System]\nMemory = '512 MiB'\nFD = 900\n[PeerDefault]\nConns = 16\n";

#[test]
fn all_files_are_checked() {
    let files = [
        ("good.toml", GOOD),
        ("typo.toml", "[System]\nMemry = 1\n"),
        ("odd.json", "{\n\"PeerDefault\": {\n\"FD\": 5000}}"),
        ("low.toml", "[System]\nFD = 5\nMemory = '1 GiB'\n"),
    ];
    let folder = Folder::new("check", &files);
    let run = folder.limits(&["check", "typo.toml", "good.toml", "odd.json", "gone.toml"]);
    assert_eq!(run.status, 1);
    assert_eq!(run.out, "good.toml: ok\nodd.json: ok, 1 warning\n");
    let lines: Vec<_> = run.err.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "typo.toml:2: System.Memry: unknown key; did you mean \"Memory\"?",
            "odd.json:3: warning: PeerDefault.FD: 5000 cannot be reached: System allows 1000",
        ]
    );
    assert!(lines[2].starts_with("gone.toml: "), "{lines:?}");

    let only_odd = folder.limits(&["check", "odd.json"]);
    assert_eq!(
        (only_odd.status, only_odd.out.as_str()),
        (0, "odd.json: ok, 1 warning\n")
    );
    let denied = folder.limits(&["check", "--deny-warnings", "good.toml", "odd.json"]);
    assert_eq!((denied.status, denied.out.as_str()), (1, "good.toml: ok\n"));
    // A warning about limits that the file does not set has the line of the field that causes it.
    let low = folder.limits(&["check", "low.toml"]);
    let line = "low.toml:2: warning: System.FD: 5 is below 2 defaults";
    assert!(low.err.contains(line), "{}", low.err);
    assert_eq!(low.status, 0);
    assert!(folder.run(&["check"]).wrong_use().contains("<FILE>"));
}

#[test]
fn defaults_that_one_set_field_makes_unreachable_are_one_warning() {
    let cases = [
        (
            "[System]\nFD = 3\n",
            "2: warning: System.FD: 3 is below 4 defaults, which cannot be reached: Transient.FD, \
             ServiceDefault.FD, ProtocolDefault.FD and 1 other",
        ),
        (
            "[PeerDefault]\nFD = 4\n[System]\nConns = 20\n",
            "4: warning: System.Conns: 20 is below 6 defaults, which cannot be reached: \
             System.ConnsInbound, System.ConnsOutbound, Transient.Conns and 3 others",
        ),
        (
            "[System]\nMemory = '8 MiB'\n[PeerDefault]\nConns = 2\n",
            "2: warning: System.Memory: 8 MiB is below 4 defaults",
        ),
        (
            "[PeerDefault]\nStreamsInbound = 5\nStreams = 5\n",
            "3: warning: PeerDefault.Streams: 5 is below 1 default, which cannot be reached: \
             PeerDefault.StreamsOutbound",
        ),
        // The limits that a file sets keep a line each.
        (
            "[System]\nConns = 20\n[Transient]\nConns = 30\n",
            "4: warning: Transient.Conns: 30 cannot be reached: System allows 20",
        ),
        (
            "[DryRun.System]\nFD = 3\n",
            "2: warning: DryRun.System.FD: 3 is below 4 defaults, which cannot be reached: \
             Transient.FD, ServiceDefault.FD, ProtocolDefault.FD and 1 other",
        ),
    ];
    for (file, expected) in cases {
        let folder = Folder::new("folded", &[("small.toml", file)]);
        let check = folder.run(&["check", "small.toml", "--memory=1GiB", "--fds=1000"]);
        let expected = format!("small.toml:{expected}");
        let lines: Vec<_> = check.err.lines().collect();
        assert!(
            lines.iter().any(|line| line.starts_with(&expected)),
            "{file}: {lines:#?}"
        );
        assert!(lines.len() <= 5, "{file}: {lines:#?}");
        let about_others = lines.iter().filter(|line| line.contains(".toml: warning"));
        assert_eq!(about_others.count(), 0, "{file}: {lines:#?}");
    }
    // `limits` without a command prints the same, without the place.
    let folder = Folder::new("folded-show", &[("small.toml", cases[0].0)]);
    let shown = folder.run(&["small.toml", "--memory=1GiB", "--fds=1000"]);
    let line = "warning: System.FD: 3 is below 4 defaults, which cannot be reached: ";
    assert!(shown.err.contains(line), "{}", shown.err);
}

#[test]
fn machine_resources_are_not_checked_if_defaults_suit_any_machine() {
    let file = "[System]\nFD = 9223372036854775807\n";
    let folder = Folder::new("any", &[("many.toml", file)]);
    let for_any: [&[&str]; 2] = [&DEFAULTS, &["--budget=512MiB,4096"]];
    for options in for_any {
        let run = folder.run(&[&["check", "many.toml"], options].concat());
        assert_eq!(run, Run::new(0, "many.toml: ok\n", ""));
    }
    let here = folder.run(&["check", "many.toml"]);
    assert!(
        here.err.starts_with("many.toml:2: warning: System.FD: "),
        "{here:?}"
    );
}

/// What users of kubo are told to look at, and what else refuses first.
#[test]
fn a_limit_that_refuses_before_another_one_is_a_warning() {
    let cases = [
        (
            "[System]\nConns = 5000\nConnsInbound = 5000\nFD = 100\nStreams = 9000\n",
            "bad.toml:4: warning: System.FD: 100 file descriptors stop TCP connections far below",
        ),
        (
            "[PeerDefault]\nConns = 64\nConnsInbound = 64\nFD = 8\n",
            "bad.toml:4: warning: PeerDefault.FD: 8 file descriptors stop TCP connections",
        ),
        (
            "[Transient]\nFD = 0\n",
            "bad.toml:2: warning: Transient.FD: no file descriptors are allowed",
        ),
        (
            "[PeerDefault]\nStreams = 'blockAll'\n",
            "bad.toml:2: warning: PeerDefault.Streams: no streams are allowed",
        ),
        (
            "[PeerDefault]\nConns = 32\nConnsInbound = 32\n[Addresses.Subnets]\n'IPv4/32' = 4\n",
            "bad.toml:2: warning: PeerDefault.Conns: 32 cannot be reached from one address",
        ),
        (
            "[Addresses.Subnets]\n'IPv4/32' = 0\n",
            "bad.toml:2: warning: Addresses.Subnets.\"IPv4/32\": no connections are allowed",
        ),
    ];
    for (file, warning) in cases {
        let folder = Folder::new("first", &[("bad.toml", file)]);
        let run = folder.limits(&["check", "bad.toml"]);
        let found = run.err.lines().any(|line| line.starts_with(warning));
        assert!(found, "{warning} in {}", run.err);
        assert_eq!(run.status, 0);
        assert!(run.out.starts_with("bad.toml: ok, "), "{}", run.out);
        // The same when the limits are shown.
        let (_, short) = warning.split_once(": ").unwrap();
        let shown = folder.limits(&["bad.toml"]);
        assert!(
            shown.err.lines().any(|line| line.starts_with(short)),
            "{shown:?}"
        );
    }
}
