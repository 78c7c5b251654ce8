//! Which file of a crate imports which.
//!
//! An import is a `use`, or a path in the code (macros included), that leads to an item of another
//! file of the crate. It counts for the file that defines the item: re-exports are followed. A
//! module's `pub use` of an item below it is no import, nor is `mod`. Code for tests does not
//! count, and the body of a `macro_rules!` does not: it is compiled where it is used. Calls of methods
//! name no module, so they are not seen.

use std::collections::BTreeMap;

use crate::modules::{ModulePath, Modules, Target, Use};
use crate::source::Source;

/// Each import from one file (its number among the sources) to another, with its first line.
pub type Imports = BTreeMap<(usize, usize), usize>;

pub fn of(sources: &[Source]) -> Imports {
    let is_root = |source: &Source| {
        source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs")
    };
    let mut imports = Imports::new();
    for root in (0..sources.len()).filter(|&at| is_root(&sources[at])) {
        add(&Modules::of(sources, root), &mut imports);
    }
    imports
}

fn add(modules: &Modules, imports: &mut Imports) {
    for (path, module) in modules.iter() {
        let mut add = |to: usize, line: usize| {
            if to != module.file {
                let first = imports.entry((module.file, to)).or_insert(line);
                *first = line.min(*first);
            }
        };
        for import in &module.uses {
            match modules.resolve(path, &import.target) {
                Some(Target::Item(to)) if !is_own_reexport(modules, path, import) => {
                    add(to, import.line);
                }
                // A glob imports at least the items that the module defines itself.
                Some(Target::Module(inner))
                    if import.name.is_none() && !is_own_reexport(modules, path, import) =>
                {
                    add(modules.file_of(&inner), import.line);
                }
                _ => {}
            }
        }
        for (named, line) in &module.named {
            if let Some(Target::Item(to)) = modules.resolve(path, named) {
                add(to, *line);
            }
        }
    }
}

/// Whether a module shows something that lies below it.
fn is_own_reexport(modules: &Modules, path: &ModulePath, import: &Use) -> bool {
    let parent = match &import.name {
        Some(_) => &import.target[..import.target.len() - 1],
        None => &import.target[..],
    };
    let target = match modules.resolve(path, parent) {
        Some(Target::Module(target)) => target,
        _ => return false,
    };
    import.is_reexport && target.starts_with(path) && !parent.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The imports between files, as `from -> to: line`.
    fn imports(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(name, text)| Source::parse(&format!("x/src/{name}"), text))
            .collect();
        let name = |at: usize| sources[at].path.trim_start_matches("x/src/");
        of(&sources)
            .iter()
            .map(|(&(from, to), line)| format!("{} -> {}: {line}", name(from), name(to)))
            .collect()
    }

    #[test]
    fn a_use_and_a_path_are_imports() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "pub struct B; \n fn f() { crate::c::g(); }"),
            ("c.rs", "pub fn g() {}"),
        ];
        assert_eq!(imports(&files), ["a.rs -> b.rs: 1", "b.rs -> c.rs: 2"]);
    }

    #[test]
    fn a_reexport_leads_to_the_file_that_defines() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::C;"),
            ("b.rs", "mod c; pub use c::C;"),
            ("b/c.rs", "pub struct C;"),
        ];
        assert_eq!(imports(&files), ["a.rs -> b/c.rs: 1"]);
    }

    #[test]
    fn a_parent_that_uses_what_it_shows_imports_it() {
        let files = [
            ("lib.rs", "mod b;"),
            ("b.rs", "mod c; pub use c::C; \n fn f(_: C) {}"),
            ("b/c.rs", "pub struct C;"),
        ];
        assert_eq!(imports(&files), ["b.rs -> b/c.rs: 2"]);
    }

    #[test]
    fn a_child_imports_from_its_parent() {
        let files = [
            ("lib.rs", "mod b;"),
            ("b.rs", "mod c; pub struct B;"),
            ("b/c.rs", "use super::B; fn f(_: B) {}"),
        ];
        assert_eq!(imports(&files), ["b/c.rs -> b.rs: 1"]);
    }

    #[test]
    fn a_path_through_an_imported_module_is_an_import() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b; \n fn f() { b::g() }"),
            ("b.rs", "pub fn g() {}"),
        ];
        assert_eq!(imports(&files), ["a.rs -> b.rs: 2"]);
    }

    #[test]
    fn a_glob_is_an_import_and_its_names_are_followed() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::*; \n fn f(_: C) {}"),
            ("b.rs", "mod c; pub use c::*;"),
            ("b/c.rs", "pub struct C;"),
        ];
        assert_eq!(imports(&files), ["a.rs -> b.rs: 1", "a.rs -> b/c.rs: 2"]);
    }

    #[test]
    fn paths_in_macros_are_imports() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "fn f() { println!(\"{}\", \n crate::b::g()) }"),
            ("b.rs", "pub fn g() -> u8 { 0 }"),
        ];
        assert_eq!(imports(&files), ["a.rs -> b.rs: 2"]);
    }

    #[test]
    fn the_body_of_a_macro_is_none_but_its_use_is_one() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "macro_rules! m { () => { $crate::b::B } } \n pub(crate) use m;",
            ),
            ("b.rs", "use crate::a::m; pub struct B; fn f() { m!(); }"),
        ];
        assert_eq!(imports(&files), ["b.rs -> a.rs: 1"]);
    }

    #[test]
    fn tests_and_other_crates_are_none() {
        let files = [
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod t;"),
            (
                "a.rs",
                "use std::fmt; use ::b::B; #[cfg(test)] use crate::b::B; fn f(_: fmt::Error) {}",
            ),
            (
                "b.rs",
                "pub struct B; #[cfg(test)] mod tests { use crate::a::f; }",
            ),
            ("t.rs", "use crate::a::f;"),
        ];
        assert_eq!(imports(&files), [""; 0]);
    }

    #[test]
    fn a_part_of_a_file_counts_as_the_file() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "mod part { \n use crate::b::B; use super::A; } struct A;",
            ),
            ("b.rs", "pub struct B;"),
        ];
        assert_eq!(imports(&files), ["a.rs -> b.rs: 2"]);
    }

    #[test]
    fn what_is_shown_of_another_crate_counts_for_the_file_that_shows_it() {
        let files = [
            ("lib.rs", "mod a; mod shim;"),
            ("a.rs", "use crate::shim::AtomicU64;"),
            (
                "shim.rs",
                "pub(crate) use real::*; mod real { pub(crate) use other::AtomicU64; }",
            ),
        ];
        assert_eq!(imports(&files), ["a.rs -> shim.rs: 1"]);
    }
}
