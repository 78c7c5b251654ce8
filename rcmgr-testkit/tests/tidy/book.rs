//! Files and names in the tables of the book exist in the code.
//!
//! The rule reads the chapters about the inside of the engine, and of each row of a table the code
//! spans in its first column. A span with a `/` or `.rs` is a file or folder with Rust code, named by
//! the end of its path (`*` stands for any name); one that is a path of names (`a`, `a::b`, `f()`)
//! must occur as such names in the code, tests included, or in the path of a file. Other spans, such as
//! commands, are skipped. In a table that begins `file | operation`, such names in the second column
//! occur in the file of the row.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;

use crate::source::{self, Finding};
use crate::tokens;

pub const RULE: &str = "files and names in the tables of the book exist in the code";

/// The chapters whose tables are about code: path and text.
pub fn chapters() -> Vec<(String, String)> {
    let chapters: Vec<_> = source::texts("docs/src", ".md")
        .into_iter()
        .filter(|(path, _)| {
            path.starts_with("docs/src/inside/") || path.starts_with("docs/src/engine")
        })
        .collect();
    assert!(
        !chapters.is_empty(),
        "the book has no chapters about the engine"
    );
    chapters
}

/// All Rust files of the workspace: path and text.
pub fn code() -> Vec<(String, String)> {
    source::members()
        .iter()
        .flat_map(|folder| source::texts(folder, ".rs"))
        .collect()
}

pub fn check(chapters: &[(String, String)], code: &[(String, String)]) -> Vec<Finding> {
    let words: Vec<BTreeSet<String>> = code.iter().map(words).collect();
    let mut findings = Vec::new();
    for (path, text) in chapters {
        for row in rows(text) {
            let mut found = |message| {
                findings.push(Finding {
                    path: path.clone(),
                    line: row.line,
                    message,
                });
            };
            // The files that the row is about, by their number.
            let mut files = Vec::new();
            for span in row.cells.first().into_iter().flatten() {
                if span.contains('/') || span.ends_with(".rs") {
                    let here = (0..code.len()).filter(|&at| is_at(&code[at].0, span));
                    let before = files.len();
                    files.extend(here);
                    if files.len() == before {
                        found(format!("there is no file `{span}`"));
                    }
                } else if let Some(name) = missing_name(span, &words) {
                    found(format!("the code has no name `{name}`"));
                }
            }
            // A table of operations by file: the file has the names of the operation.
            if files.is_empty() || !row.is_of_operations {
                continue;
            }
            let words: Vec<_> = files.iter().map(|&at| words[at].clone()).collect();
            for span in row.cells.get(1).into_iter().flatten() {
                if let Some(name) = missing_name(span, &words) {
                    found(format!("the file of the row has no name `{name}`"));
                }
            }
        }
    }
    findings
}

/// The names in a file, and in its path.
fn words((path, text): &(String, String)) -> BTreeSet<String> {
    let tokens: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    let words = tokens::flat(&tokens)
        .into_iter()
        .filter(|token| token.is_word);
    let folders = path
        .split('/')
        .map(|part| part.trim_end_matches(".rs").to_owned());
    folders.chain(words.map(|word| word.text)).collect()
}

/// A row of a table, without its head.
struct Row {
    line: usize,
    /// Whether the head of the table begins `file | operation`.
    is_of_operations: bool,
    /// The code spans of each cell.
    cells: Vec<Vec<String>>,
}

fn rows(text: &str) -> Vec<Row> {
    let lines: Vec<&str> = text.lines().collect();
    let mut rows = Vec::new();
    let mut head = "";
    for (at, line) in lines.iter().enumerate() {
        let is_rule = |line: &&&str| line.starts_with("| -") || line.starts_with("|-");
        if lines.get(at + 1).as_ref().is_some_and(is_rule) {
            head = line;
        } else if line.starts_with('|') {
            rows.push(Row {
                line: at + 1,
                is_of_operations: head.starts_with("| file | operation |"),
                cells: cells(line),
            });
        }
    }
    rows
}

/// The code spans of each cell of a row. A `|` inside a code span does not end a cell.
fn cells(line: &str) -> Vec<Vec<String>> {
    let mut cells = vec![Vec::new()];
    let mut is_code = false;
    for part in line[1..].split_inclusive(['`', '|']) {
        let (part, end) = part.split_at(part.len() - 1);
        match end {
            "`" => {
                if is_code && let Some(cell) = cells.last_mut() {
                    cell.push(part.to_owned());
                }
                is_code = !is_code;
            }
            "|" if !is_code => cells.push(Vec::new()),
            _ => {}
        }
    }
    cells
}

/// Whether a source is the file that the book names by the end of its path.
fn is_at(path: &str, named: &str) -> bool {
    let path: Vec<&str> = path.split('/').collect();
    let named: Vec<&str> = named.trim_end_matches('/').split('/').collect();
    // A folder is named by itself; a file is the end of the path.
    let is_file = named.last().is_some_and(|last| last.ends_with(".rs"));
    path.windows(named.len()).enumerate().any(|(at, part)| {
        let fits = part
            .iter()
            .zip(&named)
            .all(|(part, name)| match name.split_once('*') {
                Some((start, end)) => part.starts_with(start) && part.ends_with(end),
                None => part == name,
            });
        fits && (!is_file || at + named.len() == path.len())
    })
}

/// The first name of a span that none of the files has; `None` for a span that is no path of names.
fn missing_name(span: &str, files: &[BTreeSet<String>]) -> Option<String> {
    let span = span.split(['(', '<']).next().unwrap_or(span);
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    let parts: Vec<&str> = span.split("::").collect();
    if !parts.iter().all(|part| is_name(part)) {
        return None;
    }
    let is_missing = |name: &&&str| !files.iter().any(|words| words.contains(**name));
    parts.iter().find(is_missing).map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let code = [
            file(
                "rcmgr-atomic/src/words/leaf.rs",
                "pub struct LeafWord(u64);",
            ),
            file(
                "rcmgr-atomic/src/leaf.rs",
                "impl Leaf { fn close(&self) {} }",
            ),
        ];
        let findings = check(&[file("docs/src/engine.md", text)], &code);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_and_files_that_are_gone_are_found() {
        let text = "
| file | what |
| --- | --- |
| `words/leaf.rs`, `leaf.rs` | a word |
| `word.rs` | gone |
| `Leaf::close()`, `LeafWord` | `not_looked_at` |
| leaf `Leaf::open` | gone |
";
        assert_eq!(
            check_text(text),
            [
                "docs/src/engine.md:5: there is no file `word.rs`",
                "docs/src/engine.md:7: the code has no name `open`",
            ]
        );
    }

    #[test]
    fn folders_stars_heads_and_commands_are_understood() {
        let text = "
| `head` | what |
|---|---|
| `words/`, `words/*.rs` | files |
| `cargo test` | a command |
| `a | b` and `Leaf` | a code span with a bar |
Not a table: `gone`.
";
        assert_eq!(check_text(text), [""; 0]);
    }

    #[test]
    fn an_operation_that_its_file_does_not_have_is_found() {
        let text = "
| file | operation | ordering |
| --- | --- | --- |
| `leaf.rs` | swap in `close` | `AcqRel` |
| `words/*.rs` | load in `close` | |
| file `leaf.rs` | see `this text` | |
";
        let found = "docs/src/engine.md:5: the file of the row has no name `close`";
        assert_eq!(check_text(text), [found]);
    }
}
