//! Parses TOML into the tree.

use std::borrow::Cow;

use rcmgr_core::BadConfiguration;
use toml::de::{DeTable, DeValue};

use super::tree::{DEPTH, Entry, Lines, Value};

/// The top-level entries of the text.
pub(super) fn parse(text: &str) -> Result<Vec<Entry<'_>>, BadConfiguration> {
    let lines = Lines::of(text);
    let document = DeTable::parse(text).map_err(|error| BadConfiguration {
        line: error.span().map(|span| lines.at(span.start)),
        reason: format!("not TOML: {}", error.message()),
        ..BadConfiguration::default()
    })?;
    Ok(table(document.into_inner(), &lines, DEPTH - 1))
}

/// The keys in the order of the file, so that the first error in the file is reported.
fn table<'a>(table: DeTable<'a>, lines: &Lines, depth: usize) -> Vec<Entry<'a>> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
        .into_iter()
        .map(|(name, content)| Entry {
            line: lines.at(name.span().start),
            name: name.into_inner(),
            value: value(content.into_inner(), lines, depth),
        })
        .collect()
}

/// The value, with tables nested at most `depth` deep.
fn value<'a>(content: DeValue<'a>, lines: &Lines, depth: usize) -> Value<'a> {
    match content {
        DeValue::String(text) => Value::Text(text),
        DeValue::Integer(integer) => {
            let whole = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
            Value::Integer(Cow::Owned(integer.to_string()), whole)
        }
        DeValue::Float(float) => Value::Float(Cow::Owned(float.to_string())),
        DeValue::Boolean(_) => Value::Other("a boolean"),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(_) => Value::Other("an array"),
        DeValue::Table(content) if depth > 0 => Value::Table(table(content, lines, depth - 1)),
        DeValue::Table(_) => Value::Other("a table"),
    }
}
