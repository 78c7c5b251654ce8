//! Runs `rcmgr` itself: the help, mistyped commands, and the completions of shells.

use std::process::{Command, Output};

fn rcmgr(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rcmgr"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// The stderr of a run that must fail with status 2.
fn complaint(arguments: &[&str]) -> String {
    let run = rcmgr(arguments);
    assert_eq!(run.status.code(), Some(2), "{arguments:?}");
    assert!(run.stdout.is_empty(), "{arguments:?}");
    text(&run.stderr).to_owned()
}

const COMMANDS: [&str; 7] = [
    "demo",
    "guard",
    "limits",
    "replay",
    "top",
    "study",
    "completions",
];

#[test]
fn without_a_command_the_program_prints_its_help() {
    let help = complaint(&[]);
    assert!(help.contains("Usage: rcmgr <COMMAND>"), "{help}");
    for command in COMMANDS {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command} in {help}"
        );
    }
    let asked = rcmgr(&["help"]);
    assert_eq!(asked.status.code(), Some(0));
    assert!(text(&asked.stdout).contains("exit status"));
}

#[test]
fn a_mistyped_command_is_an_error_with_the_right_one() {
    for (typed, command) in [
        ("lmits", "limits"),
        ("demonstrate", "demo"),
        ("studdy", "study"),
        ("repaly", "replay"),
        ("completion", "completions"),
    ] {
        let error = complaint(&[typed]);
        assert!(error.contains(&format!("'{typed}'")), "{error}");
        assert!(error.contains(&format!("'{command}'")), "{error}");
    }
    // A mistyped command of `limits` is not taken for a file.
    for (typed, command) in [("chek", "check"), ("dif", "diff"), ("checks", "check")] {
        for arguments in [&["limits", typed][..], &["limits", typed, "x.toml"]] {
            let error = complaint(arguments);
            assert!(
                error.contains(&format!("did you mean `{command}`?")),
                "{error}"
            );
        }
    }
    let other = complaint(&["limits", "verify", "x.toml"]);
    assert!(
        other.contains("the commands are check, diff, help"),
        "{other}"
    );
    let late = complaint(&["limits", "--fds=1", "check", "x.toml"]);
    assert!(
        late.contains("the command must come before all options"),
        "{late}"
    );
}

#[test]
fn every_shell_gets_completions_of_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = rcmgr(&["completions", shell]);
        assert_eq!(run.status.code(), Some(0), "{shell}");
        let script = text(&run.stdout);
        for word in COMMANDS.iter().chain(&["--limits-file", "--deny-warnings"]) {
            assert!(
                script.contains(word.trim_start_matches('-')),
                "{word} of {shell}"
            );
        }
    }
    assert!(complaint(&["completions", "tcsh"]).contains("bash, elvish, fish"));
    assert!(complaint(&["completions"]).contains("<SHELL>"));
}
