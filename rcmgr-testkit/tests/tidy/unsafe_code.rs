//! `unsafe` stands in one folder, whose files argue for each use.

use crate::source::{Finding, Source};
use crate::tokens::{self, Token};

pub const RULE: &str = "`unsafe` stands in rcmgr-atomic/src/lifetime alone";

/// The folder, and the file that lists its modules.
const HOME: [&str; 2] = ["rcmgr-atomic/src/lifetime/", "rcmgr-atomic/src/lifetime.rs"];

/// Each `unsafe`, in tests and macros too, and each attribute that allows it.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let outside = sources
        .iter()
        .filter(|source| !HOME.iter().any(|home| source.path.starts_with(home)));
    let mut findings = Vec::new();
    for source in outside {
        let tokens = tokens::flat(&source.tokens);
        for (at, token) in tokens.iter().enumerate() {
            if token.is_word && token.text == "unsafe" {
                findings.push(source.finding(token.line, "has `unsafe`"));
            }
            if allows_unsafe(&tokens[..=at]) {
                findings.push(source.finding(token.line, "allows `unsafe`"));
            }
        }
    }
    findings
}

/// Whether the tokens end in `allow(unsafe_code`, or `expect`, `warn` in its place.
fn allows_unsafe(tokens: &[Token]) -> bool {
    let Some((last, before)) = tokens.split_last() else {
        return false;
    };
    // Other lints may stand before it in the same list.
    let list = before.iter().rposition(|token| token.text == "(");
    let level = list.and_then(|list| tokens[..list].last());
    last.text == "unsafe_code"
        && level.is_some_and(|level| ["allow", "expect", "warn"].contains(&level.text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(path: &str, text: &str) -> Vec<String> {
        let findings = check(&[Source::parse(path, text)]);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unsafe_outside_its_folder_is_found() {
        for text in [
            "fn f() { unsafe { g() } }",
            "unsafe fn f() {}",
            "unsafe impl Sync for X {}",
            "unsafe trait T {}",
            "fn f() { m!(unsafe { g() }) }",
            "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }",
        ] {
            let found = check_file("rcmgr-atomic/src/leaf.rs", text);
            assert_eq!(
                found,
                ["rcmgr-atomic/src/leaf.rs:1: has `unsafe`"],
                "{text}"
            );
        }
    }

    #[test]
    fn an_attribute_that_allows_it_is_found() {
        for text in [
            "#![allow(unsafe_code)]",
            "#[expect(dead_code, unsafe_code)] fn f() {}",
        ] {
            let found = check_file("rcmgr-core/src/lib.rs", text);
            assert_eq!(
                found,
                ["rcmgr-core/src/lib.rs:1: allows `unsafe`"],
                "{text}"
            );
        }
        assert_eq!(
            check_file("rcmgr-core/src/lib.rs", "#![forbid(unsafe_code)]"),
            [""; 0]
        );
    }

    #[test]
    fn its_folder_may_have_it_and_words_about_it_stand_anywhere() {
        let inside = "#![allow(unsafe_code)] unsafe fn f() {}";
        assert_eq!(
            check_file("rcmgr-atomic/src/lifetime/shared.rs", inside),
            [""; 0]
        );
        let words = "//! No unsafe here.\nconst S: &str = \"unsafe\"; use x::UnsafeCell;";
        assert_eq!(check_file("rcmgr-atomic/src/leaf.rs", words), [""; 0]);
    }
}
