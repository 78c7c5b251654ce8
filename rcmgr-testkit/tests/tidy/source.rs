//! Source files, read and parsed, and findings in them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, ImplItem, Item};

/// One file.
pub struct Source {
    /// From the root of the workspace, with `/` between the parts.
    pub path: String,
    pub text: String,
    /// All of the file.
    pub tokens: TokenStream,
    /// The file without the items that are compiled for tests only.
    pub syntax: syn::File,
}

impl Source {
    /// # Panics
    ///
    /// If `text` is not Rust.
    pub fn parse(path: &str, text: &str) -> Self {
        let tokens = text
            .parse()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        remove_tests(&mut syntax.items);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            tokens,
            syntax,
        }
    }

    pub fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }

    /// The text of a line; lines count from 1.
    pub fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number - 1).unwrap_or("").trim()
    }
}

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

pub fn line_of(span: Span) -> usize {
    span.start().line
}

fn remove_tests(items: &mut Vec<Item>) {
    items.retain(|item| !attributes(item).iter().any(is_test_only));
    for item in items {
        match item {
            Item::Mod(module) => {
                if let Some((_, items)) = &mut module.content {
                    remove_tests(items);
                }
            }
            Item::Impl(item) => item.items.retain(|item| match item {
                ImplItem::Fn(function) => !function.attrs.iter().any(is_test_only),
                _ => true,
            }),
            _ => {}
        }
    }
}

/// Whether the attribute is `#[cfg(test)]`, or `#[cfg(doctest)]`, or asks for one of these among
/// others.
fn is_test_only(attribute: &Attribute) -> bool {
    let Ok(list) = attribute.meta.require_list() else {
        return false;
    };
    let words = list.tokens.to_string();
    let asks = |word: &str| {
        words
            .split(|c: char| !c.is_alphanumeric())
            .any(|w| w == word)
    };
    list.path.is_ident("cfg") && (asks("test") || asks("doctest")) && !asks("not") && !asks("any")
}

fn attributes(item: &Item) -> &[Attribute] {
    // The attributes of an item lie in a field of each kind of item. `syn` has no access to them
    // that is common to all kinds.
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// The text of a file of the workspace.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below a folder of the workspace whose names end so: path and text.
pub fn texts(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    walk(&root().join(folder), ending, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(root()).expect("it lies in the workspace");
            let inside = inside.to_string_lossy().replace('\\', "/");
            let text = text(&inside);
            (inside, text)
        })
        .collect()
}

fn walk(folder: &Path, ending: &str, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            walk(&path, ending, paths);
        } else if path.to_string_lossy().ends_with(ending) {
            paths.push(path);
        }
    }
}

/// The sources of one crate.
///
/// # Panics
///
/// If there are none.
pub fn of_crate(folder: &str) -> Vec<Source> {
    let sources: Vec<Source> = texts(&format!("{folder}/src"), ".rs")
        .iter()
        .map(|(path, text)| Source::parse(path, text))
        .collect();
    assert!(!sources.is_empty(), "{folder}/src has no sources");
    sources
}

/// The folders of the crates of the workspace. One whose sources are a link has those of another.
pub fn members() -> Vec<String> {
    let mut folders: Vec<String> = fs::read_dir(root())
        .expect("the workspace can be read")
        .map(|entry| entry.expect("the workspace can be read").path())
        .filter(|path| path.join("Cargo.toml").exists() && path.join("src").exists())
        .filter(|path| !path.join("src").is_symlink())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    folders.sort();
    folders
}

/// The sources of each crate of the workspace.
pub fn crates() -> Vec<Vec<Source>> {
    members().iter().map(|folder| of_crate(folder)).collect()
}

/// The sources of all crates.
pub fn all() -> Vec<Source> {
    crates().into_iter().flatten().collect()
}
