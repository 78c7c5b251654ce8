//! The licence of each dependency is one that `deny.toml` allows.

use cargo_metadata::Package;
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::workspace::deny_toml;

#[derive(Deserialize)]
pub struct Rules {
    pub allow: Vec<String>,
    pub exceptions: Vec<Exception>,
}

/// Licences that one more crate may have.
#[derive(Deserialize)]
pub struct Exception {
    #[serde(rename = "crate")]
    pub name: String,
    pub allow: Vec<String>,
}

impl Rules {
    pub fn read() -> Self {
        #[derive(Deserialize)]
        struct File {
            licenses: Rules,
        }
        deny_toml::<File>().licenses
    }
}

pub fn check(packages: &[&Package], rules: &Rules) -> Vec<String> {
    packages
        .iter()
        .filter_map(|package| {
            let licence = package.license.as_deref();
            let problem = problem(&package.name, licence, rules)?;
            Some(format!("{} {}: {problem}", package.name, package.version))
        })
        .collect()
}

/// The problem with the licence of a crate, if there is one.
fn problem(name: &str, licence: Option<&str>, rules: &Rules) -> Option<String> {
    let Some(licence) = licence else {
        return Some("it names no licence".to_owned());
    };
    let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("`{licence}`: {error}")),
    };
    let exceptions = rules
        .exceptions
        .iter()
        .filter(|exception| exception.name == name);
    let allowed: Vec<&String> = rules
        .allow
        .iter()
        .chain(exceptions.flat_map(|exception| &exception.allow))
        .collect();
    let is_allowed = expression.evaluate(|licence| {
        allowed
            .iter()
            .any(|allowed| **allowed == licence.to_string())
    });
    (!is_allowed).then(|| format!("`{licence}` is not allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            allow: vec![
                "MIT".to_owned(),
                "Apache-2.0 WITH LLVM-exception".to_owned(),
            ],
            exceptions: vec![Exception {
                name: "data".to_owned(),
                allow: vec!["CC0-1.0".to_owned()],
            }],
        }
    }

    #[test]
    fn a_licence_that_is_not_allowed_is_found() {
        for licence in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "Apache-2.0",
            "CC0-1.0",
            "my own",
        ] {
            assert!(problem("x", Some(licence), &rules()).is_some(), "{licence}");
        }
        assert!(problem("x", None, &rules()).is_some());
    }

    #[test]
    fn one_allowed_choice_is_enough() {
        let llvm = "Apache-2.0 WITH LLVM-exception OR GPL-3.0-only";
        for licence in ["MIT", "GPL-3.0-only OR MIT", "MIT/Apache-2.0", llvm] {
            assert_eq!(problem("x", Some(licence), &rules()), None, "{licence}");
        }
        assert_eq!(problem("data", Some("CC0-1.0"), &rules()), None);
    }
}
