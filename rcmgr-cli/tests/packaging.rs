//! The files of `packaging/`: the example is valid, and the units and the image run it.

#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

const RCMGR: &str = env!("CARGO_BIN_EXE_rcmgr");
/// The paths of the program and of its file after the installation.
const INSTALLED: &str = "/usr/local/bin/rcmgr";
const CONFIGURED: &str = "/etc/rcmgr/guard.toml";

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// The values of a key of a unit.
fn values<'t>(unit: &'t str, key: &str) -> Vec<&'t str> {
    let lines = unit.lines();
    let value = |line: &'t str| line.strip_prefix(key)?.strip_prefix('=');
    lines.filter_map(value).collect()
}

fn check() -> Output {
    Command::new(RCMGR)
        .args(["guard", "check"])
        .arg(path("guard.toml"))
        .output()
        .unwrap()
}

/// The values of `key = "VALUE"` in the example.
fn example(key: &str) -> Vec<String> {
    let text = text("guard.toml");
    let value = |line: &str| {
        let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
        Some(value.strip_suffix('"')?.to_owned())
    };
    text.lines().filter_map(value).collect()
}

#[test]
fn the_example_is_valid_and_has_no_warning() {
    let run = check();
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert_eq!((run.status.code(), &*stderr), (Some(0), ""));
}

#[test]
fn the_example_with_all_that_is_commented_out_is_valid_too() {
    let mut lines = Vec::new();
    for line in text("guard.toml").lines() {
        let setting = line.strip_prefix("# ").filter(|rest| {
            let key = rest.split(" = ").next().unwrap_or_default();
            rest.contains(" = ") && !key.contains(' ')
        });
        lines.push(setting.unwrap_or(line).to_owned());
    }
    let all = lines.join("\n");
    assert!(
        all.contains("\nproxy-protocol = ") && all.contains("\ndry-run = "),
        "{all}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guard.toml");
    fs::write(&file, all).unwrap();
    let run = Command::new(RCMGR)
        .args(["guard", "check"])
        .arg(file)
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
}

#[test]
fn the_service_runs_the_proxy_with_the_installed_file_and_waits_for_its_drain() {
    let service = text("rcmgr-guard.service");
    assert_eq!(
        values(&service, "ExecStart"),
        [format!("{INSTALLED} guard {CONFIGURED}")]
    );
    let stop = values(&service, "TimeoutStopSec")[0];
    let seconds = |text: &str| {
        let seconds = text.strip_suffix('s').unwrap();
        Duration::from_secs(seconds.parse().unwrap())
    };
    let drain = example("drain");
    assert!(seconds(stop) > seconds(&drain[0]), "{stop} {drain:?}");
}

#[test]
fn the_socket_unit_listens_on_the_addresses_of_the_example() {
    let socket = text("rcmgr-guard.socket");
    assert_eq!(values(&socket, "ListenStream"), example("on"));
}

#[test]
fn systemd_accepts_the_units() {
    let version = Command::new("systemd-analyze").arg("--version").output();
    if version.is_err() {
        let is_needed = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!is_needed, "there is no systemd-analyze, and CI=true");
        eprintln!("the units are not verified: there is no systemd-analyze");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [service, socket] = ["rcmgr-guard.service", "rcmgr-guard.socket"].map(|name| {
        let file = folder.path().join(name);
        // The program of this build instead of the one that would be installed.
        fs::write(&file, text(name).replace(INSTALLED, RCMGR)).unwrap();
        file
    });
    let run = Command::new("systemd-analyze")
        .args(["verify", "--recursive-errors=no", "--man=no"])
        .args([service, socket])
        .output()
        .unwrap();
    let stderr = String::from_utf8(run.stderr).unwrap();
    let own: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains("rcmgr-guard"))
        .collect();
    assert!(run.status.success() && own.is_empty(), "{stderr}");
}

#[test]
fn the_image_is_built_by_version_and_runs_the_proxy_without_a_privilege() {
    let image = text("Dockerfile");
    let mut stages = 0;
    for from in image.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let (_, tag) = from.split_once(':').expect("a version");
        assert!(
            tag.starts_with(|first: char| first.is_ascii_digit()),
            "{from}"
        );
        stages += 1;
    }
    assert_eq!(stages, 2);
    let line = |start: &str| {
        let mut lines = image.lines();
        lines
            .find_map(|line| line.strip_prefix(start))
            .unwrap()
            .to_owned()
    };
    assert_ne!(line("USER ").split(':').next(), Some("0"));
    let words = |line: String| serde_json::from_str::<Vec<String>>(&line).unwrap();
    let command = [words(line("ENTRYPOINT ")), words(line("CMD "))].concat();
    assert_eq!(command, [INSTALLED, "guard", CONFIGURED]);
    assert!(image.contains(&format!("COPY packaging/guard.toml {CONFIGURED}\n")));
    assert!(image.contains(&format!(" {INSTALLED}\n")));
}
