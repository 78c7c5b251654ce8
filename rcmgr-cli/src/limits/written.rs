//! Limits as text for programs: limits files, and all values with their origins.

use rcmgr_atomic::{Limit, LimitField, LimitValue, LimitsKey, Resource};
use rcmgr_config::{AddressKey, LimitsFile, PartialLimits, Setting};
use serde::Serialize;
use serde_json::Value;

use super::amount::{limit, printable};
use super::beside::{self, Beside};
use super::configuration::Configuration;
use super::origin::Origin;
use super::table::columns;
use crate::fitted::fitted;

/// A JSON limits file with every field set; of the whole limits, if no scope is asked for.
pub fn json(configuration: &Configuration<'_>, asked: &[LimitsKey]) -> String {
    let entries = configuration.entries(asked);
    let mut file = match asked.is_empty() {
        true => beside::written(&configuration.limits),
        false => PartialLimits::default(),
    };
    for (key, limit) in entries {
        *file.entry(key) = (&limit).into();
    }
    file.to_json()
}

/// A TOML limits file with every field set, and the origins in comments; of the whole limits, if no
/// scope is asked for.
pub fn toml(configuration: &Configuration<'_>, asked: &[LimitsKey]) -> String {
    let entries = configuration.entries(asked);
    let head = format!("# {}\n", configuration.description());
    let tables = entries.iter().map(|(key, limit)| {
        let mut table = PartialLimits::default();
        *table.entry(key.clone()) = limit.into();
        with_origins(configuration, &table.to_toml())
    });
    let mut beside = match asked.is_empty() {
        true => beside::written(&configuration.limits),
        false => PartialLimits::default(),
    };
    // A key that is in no table must stand before all tables.
    let without_table = PartialLimits {
        waiters: beside.waiters.take(),
        ..PartialLimits::default()
    };
    let texts = [without_table, beside].map(|limits| limits.to_toml());
    let texts = texts.map(|text| (!text.is_empty()).then(|| with_origins(configuration, &text)));
    let [without_table, beside] = texts;
    let head = [head].into_iter().chain(without_table);
    let texts: Vec<_> = head.chain(tables).chain(beside).collect();
    texts.join("\n")
}

/// The lines of a written file, each with its origin.
fn with_origins(configuration: &Configuration<'_>, table: &str) -> String {
    let file = LimitsFile::from_toml(table).expect("the written table can be read");
    let origin = |number: usize| {
        let of_field = |((key, resource), line): (&(LimitsKey, Resource), &usize)| {
            (*line == number).then(|| configuration.origin(key, *resource))
        };
        let of_address = |(key, line): (&AddressKey, &usize)| {
            (*line == number).then(|| configuration.address_origin(key))
        };
        let of_dry_run = |((key, resource), line): (&(LimitsKey, Resource), &usize)| {
            let field = LimitField {
                key: key.clone(),
                resource: *resource,
            };
            let set = configuration.dry_run_line_of(&Setting::Field(field));
            let (path, line) = set.filter(|_| *line == number)?;
            let path = path.to_owned();
            Some(Origin::File { path, line })
        };
        let of_dry_address = |(key, line): (&AddressKey, &usize)| {
            let origin = configuration.dry_run_address_origin(key);
            origin.filter(|_| *line == number)
        };
        let of_waiters =
            (file.waiters_line == Some(number)).then(|| configuration.waiters_origin());
        of_waiters
            .or_else(|| file.lines.iter().find_map(of_field))
            .or_else(|| file.address_lines.iter().find_map(of_address))
            .or_else(|| file.dry_run_lines.iter().find_map(of_dry_run))
            .or_else(|| file.dry_run_address_lines.iter().find_map(of_dry_address))
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
    besides: &[Beside],
    width: Option<usize>,
) -> String {
    let mut table = columns(["field", "limit", "from"]);
    for (key, resource, value) in values(entries) {
        let field = format!("{}.{}", printable(&key.to_string()), resource.field_name());
        let origin = configuration.origin(key, resource).to_string();
        table.add_row([field, limit(resource, value), origin]);
    }
    for Beside {
        field, limit, from, ..
    } in besides
    {
        table.add_row([printable(field), limit.clone(), from.clone()]);
    }
    format!("{}\n", fitted(table, width, &[]))
}

/// A JSON array with an object for each value.
pub fn explained_json(
    configuration: &Configuration<'_>,
    entries: &[(LimitsKey, Limit)],
    besides: Vec<Beside>,
) -> String {
    let scopes = values(entries).map(|(key, resource, value)| Explained {
        scope: key.exact(),
        field: resource.field_name().to_owned(),
        limit: value.number().map_or("unlimited".into(), Value::from),
        from: configuration.origin(key, resource).to_string(),
    });
    let besides = besides.into_iter().map(|setting| {
        // A key of the file itself is in no table.
        let (scope, field) = setting
            .field
            .split_once('.')
            .unwrap_or(("", &setting.field));
        Explained {
            scope: scope.to_owned(),
            field: field.to_owned(),
            limit: setting.json,
            from: setting.from,
        }
    });
    let rows: Vec<_> = scopes.chain(besides).collect();
    let text = serde_json::to_string_pretty(&rows);
    text.expect("text and numbers are JSON") + "\n"
}

#[derive(Serialize)]
struct Explained {
    scope: String,
    field: String,
    /// As in limits files, but a limit that allows nothing is the number 0, and memory is a number
    /// of bytes.
    limit: Value,
    from: String,
}

fn values(
    entries: &[(LimitsKey, Limit)],
) -> impl Iterator<Item = (&LimitsKey, Resource, LimitValue)> {
    entries.iter().flat_map(|(key, limit)| {
        Resource::IN_FILES.map(|resource| (key, resource, limit.get(resource)))
    })
}
