//! Records what the program is built with, for the report: the compiler, and the versions of the crates
//! whose code is measured.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The crates that the engines use.
const MEASURED: [&str; 9] = [
    "ahash",
    "arc-swap",
    "crossbeam-utils",
    "hashbrown",
    "parking_lot",
    "parking_lot_core",
    "portable-atomic",
    "prefix-trie",
    "tokio",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name| env::var(name).unwrap_or_default();
    let version = Command::new(variable("RUSTC")).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!(
        "cargo::rustc-env=STUDY_RUSTC={}",
        version.unwrap_or_default()
    );
    println!("cargo::rustc-env=STUDY_TARGET={}", variable("TARGET"));
    println!(
        "cargo::rustc-env=STUDY_FLAGS={}",
        variable("CARGO_ENCODED_RUSTFLAGS").replace('\x1f', " ")
    );

    // The lock file of the workspace. A package from a registry has none: the list stays empty.
    let lock = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let text = fs::read_to_string(&lock).unwrap_or_default();
    if !text.is_empty() {
        println!("cargo::rerun-if-changed={}", lock.display());
    }
    println!("cargo::rustc-env=STUDY_CRATES={}", crates(&text).join(","));
}

/// `name version` for each of the measured crates.
fn crates(lock: &str) -> Vec<String> {
    let value = |line: &str, key: &str| {
        let value = line.strip_prefix(key)?.strip_prefix(" = ")?;
        Some(value.trim_matches('"').to_owned())
    };
    let package = |text: &str| {
        let of = |key| text.lines().find_map(|line| value(line, key));
        let (name, version) = (of("name")?, of("version")?);
        MEASURED
            .contains(&&*name)
            .then(|| format!("{name} {version}"))
    };
    lock.split("[[package]]").filter_map(package).collect()
}
