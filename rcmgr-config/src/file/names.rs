//! Errors about the keys of a file: their paths, unknown keys and keys that occur twice.

use std::collections::HashMap;

use rcmgr_core::{BadConfiguration, Shown, shown};

use super::mistakes::Mistakes;
use super::tree::{Entry, Value};
use crate::FileFormat;

/// The number of requests that may wait for each resource of a scope: a key of the file itself.
pub(super) const WAITERS: &str = "Waiters";

/// The entries whose name does not occur earlier in the same table. The others are mistakes.
pub(super) fn unique<'t, 'a>(
    entries: &'t [Entry<'a>],
    within: &str,
    mistakes: &mut Mistakes,
) -> Vec<&'t Entry<'a>> {
    let mut lines = HashMap::new();
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        match lines.get(entry.name.as_ref()) {
            None => {
                lines.insert(entry.name.as_ref(), entry.line);
                kept.push(entry);
            }
            Some(line) => {
                let reason = format!("given twice, first on line {line}");
                mistakes.add(bad(entry, &path(within, &entry.name), reason));
            }
        }
    }
    kept
}

pub(super) fn unknown(entry: &Entry<'_>, path: &str, known: &[&str]) -> BadConfiguration {
    // In TOML a key below the header of a table belongs to that table.
    if entry.name.eq_ignore_ascii_case(WAITERS) && !known.contains(&WAITERS) {
        let reason = format!(
            "this number is for all scopes: write {WAITERS} at the top of the file, before the \
             tables"
        );
        return bad(entry, path, reason);
    }
    let reason = match nearest(&entry.name, known) {
        Some(name) => format!("unknown key; did you mean {name:?}?"),
        None => format!("unknown key; the known keys are {}", known.join(", ")),
    };
    bad(entry, path, reason)
}

/// The known name that was most likely meant, if one is close: at most a third of its characters
/// differ, ignoring case.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > Shown::MOST_CHARS {
        return None;
    }
    let name = name.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    let near = known.iter().map(|known| (distance(known), *known));
    near.filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

pub(super) fn bad(entry: &Entry<'_>, path: &str, reason: String) -> BadConfiguration {
    bad_at(entry.line, path, reason)
}

pub(super) fn bad_at(line: usize, path: &str, reason: String) -> BadConfiguration {
    BadConfiguration {
        line: Some(line),
        field: path.into(),
        reason,
        ..BadConfiguration::default()
    }
}

/// The entries of a table, or an error that says what was expected.
pub(super) fn table<'t, 'a>(
    entry: &'t Entry<'a>,
    path: &str,
    of: &str,
    format: FileFormat,
) -> Result<&'t [Entry<'a>], BadConfiguration> {
    match &entry.value {
        Value::Table(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        other => {
            let (expected, found) = (format.table(), kind(other, format));
            Err(bad(
                entry,
                path,
                format!("expected {expected} with {of}, found {found}"),
            ))
        }
    }
}

/// The path of a name within a scope or class, shortened for errors.
pub(super) fn path(within: &str, name: &str) -> String {
    match within {
        "" => shown(name).to_string(),
        _ => format!("{within}.{}", shown(name)),
    }
}

/// The path of a name that is not a plain word, which a file has in quotes.
pub(super) fn quoted_path(within: &str, name: &str) -> String {
    format!("{within}.\"{}\"", shown(name))
}

/// The kind of a value, for errors.
pub(super) const fn kind(value: &Value<'_>, format: FileFormat) -> &'static str {
    match value {
        Value::Table(_) => format.table(),
        Value::List(_) => "an array",
        Value::Text(_) => "a string",
        Value::Integer(..) | Value::Float(_) => "a number",
        Value::Boolean(_) => "a boolean",
        Value::Null => "null",
        Value::Other(kind) => kind,
    }
}
