//! Parses TOML into the tree.

use std::borrow::Cow;

use rcmgr_core::BadConfiguration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistakes::Mistakes;
use super::syntax;
use super::tree::{DEPTH, Element, Entry, Lines, Value};

/// The maximum length of a text that is parsed once more to find all its mistakes: each of them
/// needs memory.
const REPARSED: usize = 256 << 10;

/// The top-level entries of the text, and the keys that occur twice.
pub(super) fn parse(text: &str) -> Result<(Vec<Entry<'_>>, Mistakes), BadConfiguration> {
    let lines = Lines::of(text);
    let error = match DeTable::parse(text) {
        Ok(document) => {
            let root = table(document.into_inner(), &lines, DEPTH - 1);
            return Ok((root, Mistakes::default()));
        }
        Err(error) => error,
    };
    if text.len() <= REPARSED {
        let (document, errors) = DeTable::parse_recoverable(text);
        // After a duplicate key the other keys are still right. After another mistake the parser
        // only guesses.
        if errors.iter().all(is_duplicate) {
            let mut mistakes = Mistakes::default();
            for error in &errors {
                mistakes.add(bad(error, &lines));
            }
            return Ok((table(document.into_inner(), &lines, DEPTH - 1), mistakes));
        }
    }
    let mut bad = bad(&error, &lines);
    if let Some(explanation) = syntax::of_toml(text) {
        bad.reason = format!("not TOML: {explanation}");
    }
    Err(bad)
}

fn is_duplicate(error: &toml::de::Error) -> bool {
    error.message() == "duplicate key"
}

fn bad(error: &toml::de::Error, lines: &Lines) -> BadConfiguration {
    BadConfiguration {
        line: error.span().map(|span| lines.at(span.start)),
        reason: format!("not TOML: {}", error.message()),
        ..BadConfiguration::default()
    }
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

/// The value, with tables and arrays nested at most `depth` deep.
fn value<'a>(content: DeValue<'a>, lines: &Lines, depth: usize) -> Value<'a> {
    match content {
        DeValue::String(text) => Value::Text(text),
        DeValue::Integer(integer) => {
            let whole = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
            Value::Integer(Cow::Owned(integer.to_string()), whole)
        }
        DeValue::Float(float) => Value::Float(Cow::Owned(float.to_string())),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(elements) if depth > 0 => {
            let element = |element: Spanned<DeValue<'a>>| Element {
                line: lines.at(element.span().start),
                value: value(element.into_inner(), lines, depth - 1),
            };
            Value::List(elements.into_iter().map(element).collect())
        }
        DeValue::Array(_) => Value::Other("an array"),
        DeValue::Table(content) if depth > 0 => Value::Table(table(content, lines, depth - 1)),
        DeValue::Table(_) => Value::Other("a table"),
    }
}
