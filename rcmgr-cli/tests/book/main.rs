//! README and the book say nothing that the program does not do: each of their code blocks and
//! commands is checked, chapter by chapter.
//!
//! | block | check |
//! | --- | --- |
//! | `rust` | it is a doc test: `rcmgr` or `rcmgr-libp2p` includes the chapter in `src/pages.rs` |
//! | `sh` | each command succeeds; of `rcmgr guard`, its arguments and files are checked |
//! | `console` | each command prints the text after it; `[..]` stands for any text, a line of `...` for any lines |
//! | `toml`, `json` | it is a limits file without mistakes or warnings about its numbers, or with `warned` one with warnings, or with `bad` one with mistakes; with `file=NAME`, later commands find it under this name |
//! | `toml,guard` | the same for a file of the proxy |
//! | `toml,manifest` | it is a part of a `Cargo.toml` |
//! | `text,asserted` | each line is in a test of the workspace |
//! | `text,diagram`, `text,formula` | nothing: a person reads it |
//!
//! A command in the text, such as `rcmgr limits check FILE`, is checked to be one that the program
//! knows. The messages in the index of errors are checked to be in the code, and a link to lead to a
//! heading that exists. Metrics are in the code too. Every chapter is in `SUMMARY.md`.

mod blocks;
mod chapter;
mod sandbox;
mod sources;
mod trace;
#[allow(dead_code)]
#[path = "../view/mod.rs"]
mod view;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if !sandbox::has_curl() {
        eprintln!("Commands of the book that use curl are not tested: install curl.");
        // In CI nothing is left out.
        if std::env::var("CI").is_ok_and(|value| value == "true") {
            return ExitCode::FAILURE;
        }
    }
    let trials = chapters().into_iter().map(|path| {
        let name = path.display().to_string();
        Trial::test(name, move || chapter::check(&path).map_err(Into::into))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The folder of the project.
fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the folder of the project")
}

/// README and the chapters of the book, relative to the folder of the project.
fn chapters() -> Vec<PathBuf> {
    let mut chapters = vec![PathBuf::from("README.md")];
    let mut folders = vec![project().join("docs/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the book is there") {
            let path = entry.expect("the book is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let path = path.strip_prefix(project()).expect("it is in the project");
                chapters.push(path.to_owned());
            }
        }
    }
    chapters.sort();
    assert!(chapters.len() > 10, "the book has chapters");
    chapters
}
