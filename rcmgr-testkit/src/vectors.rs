//! The vectors: recordings of the reference (go-libp2p's resource manager), which tests replay.
//!
//! They are not part of the project. `RCMGR_VECTORS` names the folder with `scopes/`, `limits.jsonl`
//! and `observe/`, or `scopes` itself. If it is not set, `../shared/vectors` beside the project is
//! used. `RCMGR_LIMIT_VECTORS` and `RCMGR_OBSERVE_VECTORS` name the folders of `limits.jsonl` and of
//! what is in `observe/`, if these are elsewhere.
//!
//! Tests without their vectors are reported as ignored.

mod lines;
mod scopes;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

pub use lines::json_lines;
pub use scopes::{ScopeVector, Step};

/// The folder of single operations, `scopes/`.
pub fn scopes() -> Option<PathBuf> {
    match named("RCMGR_VECTORS") {
        Some(folder) => Some(scopes_in(folder)),
        None => Some(beside_the_project().join("scopes")).filter(|folder| folder.is_dir()),
    }
}

/// The file of configurations, `limits.jsonl`.
pub fn limits() -> Option<PathBuf> {
    match named("RCMGR_LIMIT_VECTORS") {
        Some(folder) => Some(folder.join("limits.jsonl")),
        None => Some(root().join("limits.jsonl")).filter(|file| file.is_file()),
    }
}

/// The folder of one run with its trace and its metrics, `observe/`.
pub fn observe() -> Option<PathBuf> {
    match named("RCMGR_OBSERVE_VECTORS") {
        Some(folder) => Some(folder),
        None => Some(root().join("observe")).filter(|folder| folder.is_dir()),
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

fn beside_the_project() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    beside.canonicalize().unwrap_or(beside)
}

fn root() -> PathBuf {
    match named("RCMGR_VECTORS") {
        Some(folder) if folder.join("scopes").is_dir() => folder,
        Some(scopes) => scopes.parent().map(Path::to_owned).unwrap_or_default(),
        None => beside_the_project(),
    }
}

fn scopes_in(folder: PathBuf) -> PathBuf {
    let scopes = folder.join("scopes");
    if scopes.is_dir() { scopes } else { folder }
}

/// Runs the trials of a test without a harness, one after the other, so that what they print is in
/// order. An error is a trial that fails; without any trials there is one that is ignored.
pub fn run(trials: Result<Vec<Trial>, String>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mut trials = match trials {
        Ok(trials) => trials,
        Err(why) => vec![Trial::test("vectors", || Err(why.into()))],
    };
    if trials.is_empty() {
        eprintln!(
            "No vectors: set RCMGR_VECTORS to their folder. They are not in {} either.",
            beside_the_project().display()
        );
        trials.push(Trial::test("vectors", || Ok(())).with_ignored_flag(true));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
