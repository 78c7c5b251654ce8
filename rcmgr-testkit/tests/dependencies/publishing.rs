//! The metadata that a crate needs to be published, and the Rust version of its dependencies.

use cargo_metadata::semver::Version;
use cargo_metadata::{DependencyKind, Package, TargetKind};

use crate::workspace::is_published;

/// The members that are not published.
pub const UNPUBLISHED: &[&str] = &["browser-tests", "loom-tests", "rcmgr-testkit"];

pub fn unpublished<'a>(members: &[&'a Package]) -> Vec<&'a str> {
    let not_published = members.iter().filter(|member| !is_published(member));
    let mut names: Vec<&str> = not_published.map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// Missing metadata of the published members.
pub fn check(members: &[&Package]) -> Vec<String> {
    let published = members.iter().filter(|member| is_published(member));
    published
        .flat_map(|package| missing(package, members))
        .collect()
}

fn missing(package: &Package, members: &[&Package]) -> Vec<String> {
    let is_library = package
        .targets
        .iter()
        .any(|target| target.kind.contains(&TargetKind::Lib));
    let all_features = &package.metadata["docs"]["rs"]["all-features"];
    let is_short = |word: &String| !word.is_empty() && word.len() <= 20;
    let has_keywords = (1..=5).contains(&package.keywords.len());
    let facts = [
        (package.description.is_some(), "a description"),
        (package.license.is_some(), "a licence"),
        (package.readme.is_some(), "a readme"),
        (
            has_keywords && package.keywords.iter().all(is_short),
            "1 to 5 keywords of 20 letters",
        ),
        (!package.categories.is_empty(), "a category"),
        (
            !is_library || all_features == true || package.features.is_empty(),
            "docs with all features",
        ),
    ];
    let facts = facts.into_iter().filter(|(is_there, _)| !is_there);
    let facts = facts.map(|(_, what)| format!("{} lacks {what}", package.name));

    let inside = package.dependencies.iter().filter_map(|dependency| {
        let member = members
            .iter()
            .find(|member| *member.name == dependency.name)?;
        let has_version = !dependency.req.comparators.is_empty();
        let problem = match (dependency.kind, is_published(member), has_version) {
            // Cargo leaves such a dependency out of the package.
            (DependencyKind::Development, _, false) => return None,
            (_, true, true) => return None,
            (_, true, false) => "without a version",
            (_, false, _) => "which is not published",
        };
        Some(format!(
            "{} depends on {}, {problem}",
            package.name, member.name
        ))
    });
    facts.chain(inside).collect()
}

/// The packages that declare a newer Rust version.
pub fn check_rust_version(packages: &[Package], oldest: &Version) -> Vec<String> {
    packages
        .iter()
        .filter_map(|package| {
            let needed = package
                .rust_version
                .as_ref()
                .filter(|needed| *needed > oldest)?;
            Some(format!(
                "{} {} needs Rust {needed}",
                package.name, package.version
            ))
        })
        .collect()
}
