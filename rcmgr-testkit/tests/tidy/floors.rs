//! The floors of the engine, of the proxy and of the crate for libp2p: a file imports from its own floor and from those below it.

use crate::imports;
use crate::source::{Finding, Source};

pub const RULE: &str = "imports point down the floors";

/// The folders of `rcmgr-atomic/src`, from the top.
pub const FLOORS: &[&str] = &[
    "api", "span", "leaf", "engine", "lending", "path", "charge", "waiting", "node", "limits",
    "lifetime", "counters", "words", "sync",
];

/// The folders and files of `rcmgr-guard/src`, from the top.
pub const OF_THE_PROXY: &[&str] = &[
    "server",
    "session",
    "file",
    "descriptors",
    "relay",
    "proxy_protocol",
    "backends",
    "inherited",
    "counts",
    "limits",
    "values",
    "settings",
];

/// The folders and files of `rcmgr-libp2p/src`, from the top.
pub const OF_LIBP2P: &[&str] = &[
    // Doc tests of the book.
    "pages",
    "behaviour",
    "default_transports",
    "transport",
    "muxer",
    "stream",
    "scope_of",
    "resources",
    "keeper",
    "turn",
    "reports",
    "negotiation",
    "bundled_limits",
    "services",
    "refusal",
    "error",
];

/// Imports that point up, but those between a pair that is `allowed` to import each other; files on
/// no floor; floors without files.
pub fn check(sources: &[Source], floors: &[&str], allowed: &[[&str; 2]]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        if !is_root(source) && floor(source, floors).is_none() {
            findings.push(source.finding(1, "is on no floor"));
        }
    }
    for (at, name) in floors.iter().enumerate() {
        let is_there = sources.iter().any(|s| floor(s, floors) == Some(at));
        if !is_there {
            findings.push(sources[0].finding(1, format!("the floor `{name}` has no files")));
        }
    }
    for (&(from, to), &line) in &imports::of(sources) {
        let (from, to) = (&sources[from], &sources[to]);
        if is_root(from) || is_allowed(from, to, allowed) {
            continue;
        }
        let points_down = match (floor(from, floors), floor(to, floors)) {
            (Some(from), Some(to)) => from <= to,
            // The root is above all floors.
            _ => !is_root(to),
        };
        if !points_down {
            findings.push(from.finding(line, format!("imports {}, which is above it", to.path)));
        }
    }
    findings
}

/// The number of the floor that a file is on, from the top.
fn floor(source: &Source, floors: &[&str]) -> Option<usize> {
    let (_, inside) = source.path.split_once("/src/")?;
    let folder = inside.split('/').next()?.trim_end_matches(".rs");
    floors.iter().position(|name| *name == folder)
}

fn is_root(source: &Source) -> bool {
    source.path.ends_with("/src/lib.rs")
}

fn is_allowed(from: &Source, to: &Source, allowed: &[[&str; 2]]) -> bool {
    allowed
        .iter()
        .any(|[a, b]| [(a, b), (b, a)].contains(&(&from.path.as_str(), &to.path.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[&str] = &["top", "middle", "low"];

    fn check_files(files: &[(&str, &str)], allowed: &[[&str; 2]]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::parse(path, text))
            .collect();
        let findings = check(&sources, THREE, allowed);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_import_turned_round_is_found() {
        let mut files = vec![
            (
                "x/src/lib.rs",
                "mod top; mod middle; mod low; pub use top::T; fn f(_: low::L) {}",
            ),
            ("x/src/top.rs", "use crate::middle::part::M; pub struct T;"),
            ("x/src/middle.rs", "pub mod part;"),
            ("x/src/middle/part.rs", "use crate::low::L; pub struct M;"),
            ("x/src/low.rs", "pub struct L;"),
        ];
        assert_eq!(check_files(&files, &[]), [""; 0]);
        files[3].1 = "pub struct M;";
        files[4].1 = "pub struct L;\nuse crate::middle::part::M;";
        let up = "x/src/low.rs:2: imports x/src/middle/part.rs, which is above it";
        assert_eq!(check_files(&files, &[]), [up]);
        let allowed = [["x/src/low.rs", "x/src/middle/part.rs"]];
        assert_eq!(check_files(&files, &allowed), [""; 0]);
    }

    #[test]
    fn the_root_is_above_all_floors() {
        let files = [
            (
                "x/src/lib.rs",
                "mod top; mod middle; mod low; pub struct Root;",
            ),
            ("x/src/top.rs", "use crate::Root;"),
            ("x/src/middle.rs", ""),
            ("x/src/low.rs", ""),
        ];
        let up = "x/src/top.rs:1: imports x/src/lib.rs, which is above it";
        assert_eq!(check_files(&files, &[]), [up]);
    }

    #[test]
    fn a_file_beside_the_floors_and_an_empty_floor_are_found() {
        let files = [
            ("x/src/lib.rs", "mod top; mod middle; mod other;"),
            ("x/src/top.rs", ""),
            ("x/src/middle.rs", ""),
            ("x/src/other.rs", ""),
        ];
        assert_eq!(
            check_files(&files, &[]),
            [
                "x/src/other.rs:1: is on no floor",
                "x/src/lib.rs:1: the floor `low` has no files",
            ]
        );
    }
}
