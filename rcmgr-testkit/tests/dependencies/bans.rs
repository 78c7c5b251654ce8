//! Crates and sources that `deny.toml` bans, and versions that say nothing.

use cargo_metadata::{Dependency, Package};
use serde::Deserialize;

use crate::workspace::{Workspace, deny_toml};

#[derive(Deserialize)]
pub struct Rules {
    pub deny: Vec<String>,
}

impl Rules {
    pub fn read() -> Self {
        #[derive(Deserialize)]
        struct File {
            bans: Rules,
        }
        deny_toml::<File>().bans
    }
}

/// Where crates may come from: the registry of crates.io.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub fn check(workspace: &Workspace, rules: &Rules) -> Vec<String> {
    let banned = |package: &&Package| rules.deny.iter().any(|name| **name == **package.name);
    let of_published = workspace.of_published();
    let bans = of_published.iter().copied().filter(banned);
    let bans = bans.map(|package| format!("{} is banned", package.name));
    let sources = workspace.all().iter().filter_map(|package| {
        let source = package.source.as_ref()?;
        (source.repr != REGISTRY).then(|| format!("{} comes from {}", package.name, source.repr))
    });
    let members = workspace.members();
    let wildcards = members.iter().flat_map(|member| {
        let wild = member
            .dependencies
            .iter()
            .filter(|dependency| is_wildcard(dependency));
        wild.map(|dependency| format!("{}: any version of {}", member.name, dependency.name))
    });
    bans.chain(sources).chain(wildcards).collect()
}

/// Whether any version will do. A crate of the workspace may be named by its path alone.
fn is_wildcard(dependency: &Dependency) -> bool {
    dependency.path.is_none() && dependency.req.comparators.is_empty()
}
