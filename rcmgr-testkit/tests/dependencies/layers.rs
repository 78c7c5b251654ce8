//! Each crate of the workspace keeps to its layer: how many crates it brings at most, and which it
//! does not bring.

use std::collections::BTreeSet;
use std::process::Command;

use crate::workspace::root;

/// A crate, and its limits on the crates that it brings.
pub struct Layer {
    pub name: &'static str,
    /// The arguments of cargo that choose its features.
    pub features: &'static [&'static str],
    /// How many crates it brings at most, itself included.
    pub most: Option<usize>,
    /// Crates that it must not bring. A `*` at the end stands for any ending.
    pub without: &'static [&'static str],
}

pub const LAYERS: &[Layer] = &[
    Layer {
        name: "rcmgr-core",
        features: &[],
        most: Some(15),
        without: &[
            "serde*",
            "toml",
            "notify",
            "sysinfo",
            "rlimit",
            "nix",
            "governor",
            "multiaddr",
            "libp2p*",
        ],
    },
    Layer {
        name: "rcmgr-address",
        features: &[],
        most: None,
        without: &[
            "serde_json",
            "toml",
            "notify",
            "multiaddr",
            "libp2p*",
            "rcmgr-config",
        ],
    },
    Layer {
        name: "rcmgr-config",
        features: &["--all-features"],
        most: None,
        without: &["rcmgr-address", "rcmgr-atomic", "rcmgr-metrics", "libp2p*"],
    },
    Layer {
        name: "rcmgr-atomic",
        features: &["--no-default-features"],
        most: Some(35),
        without: &[
            "serde*",
            "toml",
            "notify",
            "sysinfo",
            "rlimit",
            "multiaddr",
            "libp2p*",
            "rcmgr-config",
            "rcmgr-metrics",
        ],
    },
    Layer {
        name: "rcmgr-metrics",
        features: &[],
        most: None,
        without: &["tokio", "axum", "opentelemetry", "libp2p*"],
    },
    Layer {
        name: "rcmgr",
        features: &[],
        most: Some(70),
        without: &[
            "tokio",
            "axum",
            "notify",
            "rcmgr-metrics",
            "multiaddr",
            "libp2p*",
            "rcmgr-testkit",
        ],
    },
];

/// The layers that break their limits; `tree` lists the crates that a layer brings.
pub fn check(layers: &[Layer], tree: impl Fn(&Layer) -> BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for layer in layers {
        let crates = tree(layer);
        let features = layer.features.join(" ");
        if let Some(most) = layer.most.filter(|most| crates.len() > *most) {
            let count = crates.len();
            problems.push(format!(
                "{} {features}: {count} crates, at most {most}",
                layer.name
            ));
        }
        for found in &crates {
            let name = found.split(' ').next().unwrap_or(found);
            let is_named = |without: &&str| match without.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == *without,
            };
            if layer.without.iter().any(is_named) {
                problems.push(format!("{} {features}: brings {name}", layer.name));
            }
        }
    }
    problems
}

/// The crates that a layer brings on this platform, each with its version.
pub fn tree(layer: &Layer) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(["--package", layer.name])
        .args(layer.features)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    // `name v1.2.3`, and more about some.
    let crates = text
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    crates.filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_crates_and_one_of_another_layer_are_found() {
        let layer = Layer {
            name: "x",
            features: &[],
            most: Some(2),
            without: &["serde*", "toml"],
        };
        let brings = |crates: &'static [&str]| {
            check(std::slice::from_ref(&layer), |_| {
                crates.iter().map(ToString::to_string).collect()
            })
        };
        assert_eq!(brings(&["x v1.0.0", "tom v1.0.0"]), [""; 0]);
        let problems = brings(&["x v1.0.0", "serde_core v1.0.0", "toml v1.0.0"]);
        assert_eq!(
            problems,
            [
                "x : 3 crates, at most 2",
                "x : brings serde_core",
                "x : brings toml"
            ]
        );
    }
}
