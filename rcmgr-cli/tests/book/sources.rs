//! What the book says about the sources: doc tests, messages, targets of Cargo.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::{blocks, project};

/// The Rust code of the workspace and the book, without spaces and comments: tests, examples and
/// doc tests.
static CODE: LazyLock<String> = LazyLock::new(|| {
    let mut code = String::new();
    let mut folders = vec![project().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the project is readable") {
            let path = entry.expect("the project is readable").path();
            let name = path.file_name().and_then(|name| name.to_str());
            let is_hidden = name.is_none_or(|name| name.starts_with('.') || name == "target");
            if path.is_dir() && !is_hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code.push_str(&without_spaces(&without_comments(&read(&path))));
            }
        }
    }
    for chapter in crate::chapters() {
        let blocks = blocks::read(&read(&project().join(chapter))).blocks;
        let programs = blocks.iter().filter(|block| block.language == "rust");
        programs.for_each(|program| code.push_str(&without_spaces(&program.text)));
    }
    code
});

/// Without comments, but with the programs in doc comments. A comment asserts nothing.
fn without_comments(code: &str) -> String {
    let mut kept = String::new();
    // Between the fences of a block in a comment: whether it is a program.
    let mut block = None;
    for line in code.lines() {
        let line = line.trim_start();
        let comment = line.strip_prefix("//!").or(line.strip_prefix("///"));
        match comment.map(str::trim) {
            Some(fence) if fence.starts_with("```") => {
                let is_program = !fence.contains("text") && !fence.contains("ignore");
                block = block.is_none().then_some(is_program);
            }
            Some(text) if block == Some(true) => kept.push_str(text),
            Some(_) => {}
            None if line.starts_with("//") => {}
            None => kept.push_str(line),
        }
    }
    kept
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Without what may differ between a text and the same text as a literal of several lines.
fn without_spaces(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '\\' | '/' | '!'))
        .collect()
}

/// The files that make chapters doc tests. Those about libp2p and about the study are tests of their crates,
/// so that the others compile without these.
const PAGES: [&str; 3] = [
    "rcmgr/src/pages.rs",
    "rcmgr-libp2p/src/pages.rs",
    "benches/src/pages.rs",
];

/// The Rust code of this chapter is a doc test.
pub fn is_doc_test(chapter: &Path) -> Result<(), String> {
    let includes =
        |pages| read(&project().join(pages)).contains(&format!("{}\"", chapter.display()));
    if PAGES.into_iter().any(includes) {
        return Ok(());
    }
    Err(format!("none of {PAGES:?} includes the chapter"))
}

/// A test compares a message with this line.
pub fn is_asserted(line: &str) -> Result<(), String> {
    has(line).map_err(|_| format!("no test has the text {line:?}"))
}

/// These words are in the code.
pub fn has(words: &str) -> Result<(), String> {
    if CODE.contains(&without_spaces(words)) {
        return Ok(());
    }
    Err(format!("the program does not say {words:?}"))
}

/// CI runs this very command.
pub fn ci_has(command: &str) -> bool {
    let ci = read(&project().join(".ci/run"));
    ci.lines().any(|line| line.trim() == command)
}

/// The package and the target of a command of Cargo exist. Running it takes long.
pub fn is_cargo_command(command: &str) -> Result<(), String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let value = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    let package = value("-p").ok_or_else(|| format!("{command:?} names no package"))?;
    let folder = if package == "rcmgr-study" {
        "benches"
    } else {
        package
    };
    let manifest = project().join(folder).join("Cargo.toml");
    if !manifest.is_file() {
        return Err(format!("there is no package {package}"));
    }
    for (option, within) in [
        ("--test", "tests"),
        ("--bench", "benches"),
        ("--example", "examples"),
    ] {
        let Some(target) = value(option) else {
            continue;
        };
        let file = project().join(folder).join(within).join(target);
        if !file.with_extension("rs").is_file() && !file.join("main.rs").is_file() {
            return Err(format!("{package} has no {option} {target}"));
        }
    }
    Ok(())
}
