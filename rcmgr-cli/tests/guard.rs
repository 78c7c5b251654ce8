//! Runs `rcmgr guard check`: files, arguments, and the exit status of each.

#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder with a file of the proxy and a limits file.
struct Folder(TempDir);

impl Folder {
    fn new(guard: &str, limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("guard.toml"), guard).unwrap();
        fs::write(folder.path().join("limits.toml"), limits).unwrap();
        Self(folder)
    }

    /// Runs in the folder with 1,164 file descriptors.
    fn check(&self, arguments: &str) -> Output {
        let rcmgr = PathBuf::from(env!("CARGO_BIN_EXE_rcmgr"));
        let command = format!("ulimit -n 1164; exec \"$RCMGR\" guard check {arguments}");
        Command::new("sh")
            .args(["-c", &command])
            .env("RCMGR", rcmgr)
            .current_dir(self.0.path())
            .output()
            .expect("a shell starts")
    }
}

const LISTENER: &str = "[[listen]]\non = '0.0.0.0:5432'\nto = ['10.0.0.2:5432', '10.0.0.3:5432']\n";
const ARGUMENTS: &str = "--listen 0.0.0.0:5432 --to 10.0.0.2:5432 --limits limits.toml";

/// The exit status, stdout and stderr.
fn result(run: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the output is text");
    (run.status.code(), text(&run.stdout), text(&run.stderr))
}

#[test]
fn a_valid_file_prints_its_listeners_and_the_connections_that_the_descriptors_allow() {
    let guard = format!("{LISTENER}service = 'post\\ngres'\n").replace('\'', "\"");
    let folder = Folder::new(&guard, "");
    let expected = "0.0.0.0:5432 -> 10.0.0.2:5432, 10.0.0.3:5432, service post\\ngres\n\
                    500 connections with 1,164 file descriptors\n";
    let run = result(&folder.check("guard.toml"));
    assert_eq!(run, (Some(0), expected.into(), String::new()));
}

#[test]
fn limits_above_the_descriptors_are_warnings() {
    let limits = "[System]\nConnsInbound = 600\nFD = 800\n[Service.guard]\nConns = 1200\n";
    let folder = Folder::new(&format!("{LISTENER}{limits}"), limits);
    let warnings = |file: &str, first: usize| {
        format!(
            "{file}:{}: warning: System.ConnsInbound: 600 is more than the file descriptors \
             allow: at most 500, for 500 connections with 1,164 file descriptors\n\
             {file}:{}: warning: Service.guard.Conns: 1,200 is more than the file descriptors \
             allow: at most 1,000, for 500 connections with 1,164 file descriptors\n",
            first + 1,
            first + 4,
        )
    };
    let (status, _, stderr) = result(&folder.check("guard.toml"));
    assert_eq!((status, stderr), (Some(0), warnings("guard.toml", 4)));
    let (status, _, stderr) = result(&folder.check(ARGUMENTS));
    assert_eq!((status, stderr), (Some(0), warnings("limits.toml", 1)));
}

#[test]
fn limits_that_contradict_each_other_are_warnings_with_their_lines() {
    let limits = "[System]\nConns = 100\nConnsInbound = 200\n";
    let folder = Folder::new(&format!("{LISTENER}{limits}"), "");
    let (status, _, stderr) = result(&folder.check("guard.toml"));
    assert_eq!(status, Some(0));
    let start = "guard.toml:6: warning: System.ConnsInbound: ";
    assert!(stderr.starts_with(start), "{stderr}");
}

#[test]
fn a_limit_of_a_single_ipv6_address_is_a_warning() {
    let limits = "[Peer.\"2001:db8:1:2:3::7\"]\nConnsInbound = 2\n\
                  [Peer.\"fe80::7\"]\nConnsInbound = 2\n\
                  [Peer.\"fe80::7%2\"]\nConnsInbound = 2\n\
                  [Peer.\"192.0.2.7\"]\nConnsInbound = 2\n";
    let folder = Folder::new(&format!("{LISTENER}{limits}"), "");
    let (status, _, stderr) = result(&folder.check("guard.toml"));
    let expected = "guard.toml:5: warning: Peer.\"2001:db8:1:2:3::7\": has no effect, because an \
                    IPv6 client is the peer of its /64; limit a network in Addresses.Networks\n\
                    guard.toml:7: warning: Peer.\"fe80::7\": has no effect on clients that \
                    connect directly: a link-local client is a peer with the number of its zone, such as \"fe80::7%2\"\n";
    assert_eq!((status, &*stderr), (Some(0), expected));
}

#[cfg(target_os = "linux")]
#[test]
fn each_worker_may_have_its_own_descriptors() {
    let folder = Folder::new("", "# no limits\n");
    let arguments = format!("{ARGUMENTS} --workers 4 --own-descriptors --service db --dry-run");
    let (status, stdout, stderr) = result(&folder.check(&arguments));
    assert_eq!(
        (status, &*stdout, &*stderr),
        (
            Some(0),
            "0.0.0.0:5432 -> 10.0.0.2:5432, service db\n\
             dry run: no limit is enforced\n\
             1,976 connections with 1,164 file descriptors for each of 4 workers\n",
            "",
        ),
    );
}

#[test]
fn a_wrong_file_is_status_1_with_all_its_mistakes() {
    let guard = "[[listen]]\non = '0.0.0.0'\nto = '10.0.0.2:1'\n[Sytem]\nConns = 1\n";
    let folder = Folder::new(guard, "[Sytem]\n");
    let (status, stdout, stderr) = result(&folder.check("guard.toml"));
    assert_eq!((status, &*stdout), (Some(1), ""));
    assert_eq!(
        stderr,
        "guard.toml:2: listen.on: no port: write \"0.0.0.0:PORT\"\n\
         guard.toml:4: Sytem: unknown key; did you mean \"System\"?\n",
    );
    let (status, stdout, stderr) = result(&folder.check("missing.toml"));
    assert_eq!((status, &*stdout), (Some(1), ""));
    assert!(stderr.starts_with("missing.toml: "), "{stderr}");
    fs::write(folder.0.path().join("empty.toml"), "\n").unwrap();
    for arguments in [
        "empty.toml",
        &ARGUMENTS.replace("limits.toml", "empty.toml"),
    ] {
        let (status, _, stderr) = result(&folder.check(arguments));
        assert_eq!(status, Some(1));
        assert!(stderr.starts_with("empty.toml: it is empty; "), "{stderr}");
    }
    let (status, _, stderr) = result(&folder.check(ARGUMENTS));
    assert_eq!(status, Some(1));
    assert_eq!(
        stderr,
        "limits.toml:1: Sytem: unknown key; did you mean \"System\"?\n"
    );
}

#[test]
fn wrong_arguments_and_options_without_effect_are_status_2() {
    let folder = Folder::new(LISTENER, "[DryRun.System]\nConns = 1\n");
    let cases = [
        ("", "<FILE>"),
        ("guard.toml --dry-run", "cannot be used with"),
        ("guard.toml --workers 2", "cannot be used with"),
        ("guard.toml --drain 5s", "cannot be used with"),
        ("--listen 0.0.0.0:1", "--to"),
        ("--listen 0.0.0.0:1 --to 10.0.0.2:1", "--limits"),
        ("--to 10.0.0.2:1", "--listen"),
        (
            "--listen 0.0.0.0 --to a:1 --limits limits.toml",
            "no port: write \"0.0.0.0:PORT\"",
        ),
        (
            "--listen 0.0.0.0:1 --to 10.0.0.2 --limits limits.toml",
            "no port: write \"10.0.0.2:PORT\"",
        ),
        (
            "--listen 0.0.0.0:1 --to a:1,,b:1 --limits limits.toml",
            "expected HOST:PORT, found \"\"",
        ),
        (
            "--listen 0.0.0.0:1 --to a:1,a:1 --limits limits.toml",
            "--to a:1 is given twice",
        ),
        (
            "--listen 0.0.0.0:1 --to localhost:1 --limits limits.toml",
            "the proxy would connect to itself",
        ),
        ("{ARGUMENTS} --service ''", "a service needs a name"),
        ("{ARGUMENTS} --own-descriptors", "--workers"),
        (
            "{ARGUMENTS} --own-descriptors --workers 1",
            "has no effect with one worker",
        ),
        ("{ARGUMENTS} --workers 0", "1..=1024"),
        ("{ARGUMENTS} --drain 5", "expected a duration such as"),
        (
            "{ARGUMENTS} --view 0.0.0.0:5432",
            "is the address of the listener",
        ),
        (
            "{ARGUMENTS} --dry-run",
            "the table DryRun of the limits file",
        ),
    ];
    for (arguments, expected) in cases {
        let arguments = arguments.replace("{ARGUMENTS}", ARGUMENTS);
        let (status, stdout, stderr) = result(&folder.check(&arguments));
        assert_eq!((status, &*stdout), (Some(2), ""), "{arguments}: {stderr}");
        assert!(stderr.contains(expected), "{arguments}: {stderr}");
    }
}
