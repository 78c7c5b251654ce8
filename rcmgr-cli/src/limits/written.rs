//! Limits as text for programs: limits files, and all values with their origins.

use rcmgr_atomic::{Limit, LimitValue, LimitsKey, Resource};
use rcmgr_config::{LimitsFile, PartialLimits};
use serde::Serialize;

use super::amount::{limit, printable};
use super::configuration::Configuration;
use super::table::columns;
use crate::fitted::fitted;

/// A JSON limits file with every field set.
pub fn json(entries: &[(LimitsKey, Limit)]) -> String {
    let mut file = PartialLimits::default();
    for (key, limit) in entries {
        *file.entry(key.clone()) = limit.into();
    }
    file.to_json()
}

/// A TOML limits file with every field set, and the origins in comments.
pub fn toml(configuration: &Configuration<'_>, entries: &[(LimitsKey, Limit)]) -> String {
    let head = format!("# {}\n", configuration.description());
    let tables = entries.iter().map(|(key, limit)| {
        let mut table = PartialLimits::default();
        *table.entry(key.clone()) = limit.into();
        with_origins(configuration, key, &table.to_toml())
    });
    let texts: Vec<_> = [head].into_iter().chain(tables).collect();
    texts.join("\n")
}

/// The lines of one table, each with its origin.
fn with_origins(configuration: &Configuration<'_>, key: &LimitsKey, table: &str) -> String {
    let lines = LimitsFile::from_toml(table).map(|file| file.lines);
    let lines = lines.expect("the written table can be read");
    let origin = |number: usize| {
        let ((_, resource), _) = lines.iter().find(|(_, line)| **line == number)?;
        Some(configuration.origin(key, *resource))
    };
    let lines = table.lines().enumerate();
    let lines = lines.map(|(at, line)| match origin(at + 1) {
        Some(origin) => format!("{line:<28}  # {origin}\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// A line for each value, with its origin.
pub fn explained(
    configuration: &Configuration<'_>,
    entries: &[(LimitsKey, Limit)],
    width: Option<usize>,
) -> String {
    let mut table = columns(["field", "limit", "from"]);
    for (key, resource, value) in values(entries) {
        let field = format!("{}.{}", printable(&key.to_string()), resource.field_name());
        let origin = configuration.origin(key, resource).to_string();
        table.add_row([field, limit(resource, value), origin]);
    }
    format!("{}\n", fitted(table, width, &[]))
}

/// A JSON array with an object for each value.
pub fn explained_json(configuration: &Configuration<'_>, entries: &[(LimitsKey, Limit)]) -> String {
    let rows: Vec<_> = values(entries)
        .map(|(key, resource, value)| Explained {
            scope: key.exact(),
            field: resource.field_name(),
            limit: value.number().map_or(Number::Unlimited, Number::Limited),
            from: configuration.origin(key, resource).to_string(),
        })
        .collect();
    let text = serde_json::to_string_pretty(&rows);
    text.expect("text and numbers are JSON") + "\n"
}

#[derive(Serialize)]
struct Explained {
    scope: String,
    field: &'static str,
    limit: Number,
    from: String,
}

/// As in limits files, but a limit that allows nothing is the number 0, and memory is a number of
/// bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Number {
    Unlimited,
    #[serde(untagged)]
    Limited(u64),
}

fn values(
    entries: &[(LimitsKey, Limit)],
) -> impl Iterator<Item = (&LimitsKey, Resource, LimitValue)> {
    entries.iter().flat_map(|(key, limit)| {
        Resource::IN_FILES.map(|resource| (key, resource, limit.get(resource)))
    })
}
