//! `rcmgr limits check`.

use crate::{DEFAULTS, Folder, Run, SERVER};

#[test]
fn all_files_are_checked() {
    let files = [
        ("good.toml", SERVER),
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
    // A warning about a limit that the file does not set has no line number.
    let low = folder.limits(&["check", "low.toml"]);
    let line = "low.toml: warning: PeerDefault.FD: 15 cannot be reached: System allows 5\n";
    assert!(low.err.contains(line), "{}", low.err);
    assert_eq!(low.status, 0);
    assert!(folder.run(&["check"]).wrong_use().contains("<FILE>"));
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
