//! `cfg(loom)` stands in the shim and at the list of internals: all other code runs as it is, in a
//! model and in a server.

use syn::{Attribute, Item};

use crate::source::{Finding, Source, line_of};
use crate::tokens;

pub const RULE: &str = "only the shim and the list of internals depend on loom";

const SHIM: [&str; 3] = [
    "rcmgr-atomic/src/sync/",
    "rcmgr-atomic/src/sync.rs",
    "loom-tests/src/",
];

/// Each `cfg` that asks for loom, but those of the shim, of the item `internals` at the root of the
/// engine, and of that root as a whole.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        if SHIM.iter().any(|shim| source.path.starts_with(shim)) {
            continue;
        }
        let allowed = match source.path == "rcmgr-atomic/src/lib.rs" {
            true => lines_of_internals(&source.syntax),
            false => Vec::new(),
        };
        let tokens = tokens::flat(&source.tokens);
        let mut depth_of_cfg = None;
        let mut depth = 0;
        for (at, token) in tokens.iter().enumerate() {
            match token.text.as_str() {
                "(" => {
                    let before: Vec<&str> = tokens[..at]
                        .iter()
                        .rev()
                        .take(2)
                        .map(|t| &*t.text)
                        .collect();
                    let opens = matches!(before[..], ["cfg" | "cfg_attr", ..] | ["!", "cfg"]);
                    if opens && depth_of_cfg.is_none() {
                        depth_of_cfg = Some(depth);
                    }
                    depth += 1;
                }
                ")" => {
                    depth -= 1;
                    if depth_of_cfg == Some(depth) {
                        depth_of_cfg = None;
                    }
                }
                "loom" if depth_of_cfg.is_some() && !allowed.contains(&token.line) => {
                    findings.push(source.finding(token.line, "has `cfg(loom)`"));
                }
                _ => {}
            }
        }
    }
    findings
}

/// The lines of the attributes of the crate, and of each item called `internals`.
fn lines_of_internals(file: &syn::File) -> Vec<usize> {
    let lines = |attributes: &[Attribute]| -> Vec<usize> {
        attributes
            .iter()
            .flat_map(|attribute| {
                let span = syn::spanned::Spanned::span(attribute);
                line_of(span)..=span.end().line
            })
            .collect()
    };
    let items = file.items.iter().flat_map(|item| match item {
        Item::Mod(module) if module.ident == "internals" => lines(&module.attrs),
        _ => Vec::new(),
    });
    lines(&file.attrs).into_iter().chain(items).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(path: &str, text: &str) -> Vec<String> {
        let findings = check(&[Source::parse(path, text)]);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn loom_is_found_where_it_does_not_belong() {
        for text in [
            "#[cfg(loom)] fn f() {}",
            "#[cfg(not(loom))] use a::b;",
            "#[cfg_attr(loom, derive(Debug))] struct X;",
            "fn f() -> bool { cfg!(any(test, loom)) }",
        ] {
            let found = check_file("rcmgr-atomic/src/leaf.rs", text);
            assert_eq!(
                found,
                ["rcmgr-atomic/src/leaf.rs:1: has `cfg(loom)`"],
                "{text}"
            );
        }
    }

    #[test]
    fn the_shim_and_the_list_of_internals_have_it() {
        let text = "#[cfg(loom)] fn f() {}";
        assert_eq!(check_file("rcmgr-atomic/src/sync/shim.rs", text), [""; 0]);
        let root = "#![cfg_attr(loom, allow(missing_docs))]\n#[cfg(loom)]\npub mod internals {}";
        assert_eq!(check_file("rcmgr-atomic/src/lib.rs", root), [""; 0]);
        let other = "#[cfg(loom)]\npub mod internals {}\n#[cfg(loom)]\nmod more;";
        let found = check_file("rcmgr-atomic/src/lib.rs", other);
        assert_eq!(found, ["rcmgr-atomic/src/lib.rs:3: has `cfg(loom)`"]);
    }

    #[test]
    fn the_word_alone_is_fine() {
        let text = "/// For loom.\n#[cfg(unix)] fn f(loom: u8) { g(loom) }";
        assert_eq!(check_file("rcmgr-core/src/lib.rs", text), [""; 0]);
    }
}
