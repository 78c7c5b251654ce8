//! The packages of the workspace and their dependencies, as cargo knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::semver::Version;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use serde::de::DeserializeOwned;

pub struct Workspace(Metadata);

impl Workspace {
    /// With all features, and for all platforms. (So cargo downloads the packages that only other platforms
    /// need, if it has not yet: building does not.)
    pub fn read() -> Self {
        let metadata = MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .features(cargo_metadata::CargoOpt::AllFeatures)
            .other_options(["--locked".to_owned()])
            .exec();
        Self(metadata.expect("cargo reads the workspace"))
    }

    pub fn all(&self) -> &[Package] {
        &self.0.packages
    }

    pub fn members(&self) -> Vec<&Package> {
        self.0.workspace_packages()
    }

    /// The published crates and all their dependencies, those for development apart.
    pub fn of_published(&self) -> Vec<&Package> {
        let resolve = self
            .0
            .resolve
            .as_ref()
            .expect("the dependencies are resolved");
        let nodes: BTreeMap<&PackageId, _> =
            resolve.nodes.iter().map(|node| (&node.id, node)).collect();
        let published = self
            .members()
            .into_iter()
            .filter(|member| is_published(member));
        let mut open: Vec<&PackageId> = published.map(|member| &member.id).collect();
        let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let needed = nodes[id].deps.iter().filter(|dependency| {
                let kinds = &dependency.dep_kinds;
                kinds
                    .iter()
                    .any(|kind| kind.kind != DependencyKind::Development)
            });
            open.extend(needed.map(|dependency| &dependency.pkg));
        }
        self.all()
            .iter()
            .filter(|package| seen.contains(&package.id))
            .collect()
    }

    /// The oldest Rust version that the workspace supports.
    pub fn rust_version(&self) -> Version {
        let versions: BTreeSet<_> = self
            .members()
            .iter()
            .map(|member| member.rust_version.clone())
            .collect();
        assert_eq!(
            versions.len(),
            1,
            "all members support the same Rust: {versions:?}"
        );
        let version = versions.into_iter().next().flatten();
        version.expect("the workspace says which Rust it supports")
    }
}

/// Whether it may go to a registry.
pub fn is_published(package: &Package) -> bool {
    package
        .publish
        .as_ref()
        .is_none_or(|registries| !registries.is_empty())
}

pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate lies in the workspace").to_owned()
}

/// The part of `deny.toml` that `T` reads.
pub fn deny_toml<T: DeserializeOwned>() -> T {
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml can be read");
    toml::from_str(&text).expect("deny.toml is as cargo-deny wants it")
}
