//! Every file opens with its purpose, and a long file is listed with a reason.

use crate::source::{Finding, Source};

pub const RULE: &str = "every file opens with its purpose (`//!`)";
pub const LENGTH_RULE: &str = "a file has at most 500 lines";

const MAX_LINES: usize = 500;

/// Files that may be longer, with the reason.
const LONG: &[[&str; 2]] = &[];

pub fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.finding(1, "does not open with `//!`"))
        .collect()
}

pub fn check_length(sources: &[Source]) -> Vec<Finding> {
    let is_listed = |source: &Source| LONG.iter().any(|[path, _]| *path == source.path);
    sources
        .iter()
        .filter(|source| source.text.lines().count() > MAX_LINES && !is_listed(source))
        .map(|source| source.finding(MAX_LINES, "goes on beyond this line"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_head_is_found() {
        let good = Source::parse("x/src/a.rs", "//! Its purpose.\nfn f() {}");
        let bad = Source::parse("x/src/b.rs", "use a::b;\nfn f() {}");
        let found = check(&[good, bad]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "x/src/b.rs:1: does not open with `//!`"
        );
    }

    #[test]
    fn a_long_file_is_found() {
        let short = Source::parse("x/src/a.rs", &"\n".repeat(500));
        let long = Source::parse("x/src/b.rs", &"\n".repeat(501));
        let found = check_length(&[short, long]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "x/src/b.rs");
    }
}
