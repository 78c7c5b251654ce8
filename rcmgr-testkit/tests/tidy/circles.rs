//! The modules of a crate import each other in no circle, so each can be read and changed with only the
//! modules below it in mind.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{self, Imports};
use crate::source::{Finding, Source};

pub const RULE: &str = "the modules of a crate import each other in no circle";

/// The pairs of files that may import each other.
///
/// The state of the engine holds the recorder, and the recorder reads names and usage from the state.
pub const ALLOWED: &[[&str; 2]] = &[[
    "rcmgr-atomic/src/engine/record.rs",
    "rcmgr-atomic/src/engine/state.rs",
]];

/// The circles of one crate, one finding for each import in them; and each `allowed` pair of the crate
/// that is no circle.
pub fn check(sources: &[Source], allowed: &[[&str; 2]]) -> Vec<Finding> {
    let imports = imports::of(sources);
    let mut findings = Vec::new();
    let mut unused: Vec<&[&str; 2]> = allowed.iter().filter(|pair| is_of(sources, pair)).collect();
    for circle in circles(&imports) {
        let mut files: Vec<&str> = circle.iter().map(|&at| &*sources[at].path).collect();
        files.sort_unstable();
        if allowed.iter().any(|pair| pair[..] == files[..]) {
            unused.retain(|pair| pair[..] != files[..]);
            continue;
        }
        for (&(from, to), &line) in &imports {
            if circle.contains(&from) && circle.contains(&to) {
                let message = format!(
                    "imports {}, a part of a circle of {} files",
                    sources[to].path,
                    circle.len()
                );
                findings.push(sources[from].finding(line, message));
            }
        }
    }
    for [first, second] in unused {
        let message = format!("the allowed pair with {second} is no circle");
        findings.push(Finding {
            path: (*first).to_owned(),
            line: 1,
            message,
        });
    }
    findings
}

/// Whether a pair lies in the crate of these sources.
fn is_of(sources: &[Source], pair: &[&str; 2]) -> bool {
    let folder = |path: &str| path.split('/').next().map(str::to_owned);
    folder(pair[0]) == folder(&sources[0].path)
}

/// The sets of files that reach each other.
fn circles(imports: &Imports) -> BTreeSet<BTreeSet<usize>> {
    let mut next: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(from, to) in imports.keys() {
        next.entry(from).or_default().push(to);
    }
    let reached: BTreeMap<usize, BTreeSet<usize>> = next
        .keys()
        .map(|&file| (file, reached_from(file, &next)))
        .collect();
    let reaches = |from: &usize, to: &usize| reached.get(from).is_some_and(|r| r.contains(to));
    reached
        .iter()
        .filter(|(file, reached)| reached.contains(file))
        .map(|(file, reached)| {
            let back = reached.iter().filter(|other| reaches(other, file));
            back.copied().collect()
        })
        .collect()
}

fn reached_from(file: usize, next: &BTreeMap<usize, Vec<usize>>) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(file) = open.pop() {
        for &to in next.get(&file).into_iter().flatten() {
            if reached.insert(to) {
                open.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_files(files: &[(&str, &str)], allowed: &[[&str; 2]]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::parse(path, text))
            .collect();
        let findings = check(&sources, allowed);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn imports_in_one_direction_are_no_circle() {
        let files = [
            ("x/src/lib.rs", "mod a; mod b; mod c; pub use a::A;"),
            (
                "x/src/a.rs",
                "use crate::b::B; use crate::c::C; pub struct A;",
            ),
            ("x/src/b.rs", "use crate::c::C; pub struct B;"),
            ("x/src/c.rs", "pub struct C;"),
        ];
        assert_eq!(check_files(&files, &[]), [""; 0]);
    }

    #[test]
    fn an_import_turned_round_is_found() {
        let files = [
            ("x/src/lib.rs", "mod a; mod b; mod c;"),
            ("x/src/a.rs", "use crate::b::B; pub struct A;"),
            ("x/src/b.rs", "use crate::c::C; pub struct B;"),
            ("x/src/c.rs", "\nuse crate::a::A; pub struct C;"),
        ];
        assert_eq!(
            check_files(&files, &[]),
            [
                "x/src/a.rs:1: imports x/src/b.rs, a part of a circle of 3 files",
                "x/src/b.rs:1: imports x/src/c.rs, a part of a circle of 3 files",
                "x/src/c.rs:2: imports x/src/a.rs, a part of a circle of 3 files",
            ]
        );
    }

    #[test]
    fn a_child_and_its_parent_can_be_a_circle() {
        let files = [
            ("x/src/lib.rs", "mod a;"),
            ("x/src/a.rs", "mod b; use b::B; pub struct A(B);"),
            ("x/src/a/b.rs", "use super::A; pub struct B(Vec<A>);"),
        ];
        assert_eq!(check_files(&files, &[]).len(), 2);
    }

    #[test]
    fn a_pair_on_the_list_passes_and_a_third_file_in_its_circle_does_not() {
        let pair = [["x/src/a.rs", "x/src/b.rs"]];
        let mut files = vec![
            ("x/src/lib.rs", "mod a; mod b; mod c;"),
            ("x/src/a.rs", "use crate::b::B; pub struct A;"),
            ("x/src/b.rs", "use crate::a::A; pub struct B;"),
            ("x/src/c.rs", "use crate::a::A; pub struct C;"),
        ];
        assert_eq!(check_files(&files, &pair), [""; 0]);
        files[2].1 = "use crate::a::A; use crate::c::C; pub struct B;";
        let unused = "x/src/a.rs:1: the allowed pair with x/src/b.rs is no circle";
        let found = check_files(&files, &pair);
        assert_eq!(found.len(), 5);
        assert_eq!(found[4], unused);
        files[2].1 = "pub struct B;";
        assert_eq!(check_files(&files, &pair), [unused]);
    }
}
