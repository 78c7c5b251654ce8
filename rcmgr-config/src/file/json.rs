//! Parses JSON into the tree. Values are first kept as slices of the text: their position gives the
//! line, and the order and repetition of keys stay visible.

use std::fmt;

use rcmgr_core::BadConfiguration;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::mistakes::Mistakes;
use super::syntax;
use super::tree::{DEPTH, Element, Entry, Lines, Value};

/// The keys and values of an object, in order.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

struct Json<'a> {
    text: &'a str,
    lines: Lines,
}

/// The members of the top-level object.
pub(super) fn parse(text: &str) -> Result<(Vec<Entry<'_>>, Mistakes), BadConfiguration> {
    let json = Json {
        text,
        lines: Lines::of(text),
    };
    let root: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error, text))?;
    match json.value(root, DEPTH)? {
        Value::Table(entries) => Ok((entries, Mistakes::default())),
        _ => Err(BadConfiguration {
            line: Some(json.line(root)),
            reason: "expected an object with scopes such as \"System\"".into(),
            ..BadConfiguration::default()
        }),
    }
}

impl<'a> Json<'a> {
    fn line(&self, raw: &'a RawValue) -> usize {
        // Every raw value is a slice of the text, so the pointers give its offset.
        self.lines
            .at(raw.get().as_ptr() as usize - self.text.as_ptr() as usize)
    }

    fn read<T: Deserialize<'a>>(&self, raw: &'a RawValue) -> Result<T, BadConfiguration> {
        serde_json::from_str(raw.get()).map_err(|error| bad(&error, self.line(raw)))
    }

    /// The value, with objects and arrays nested at most `depth` deep.
    fn value(&self, raw: &'a RawValue, depth: usize) -> Result<Value<'a>, BadConfiguration> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'{') if depth > 0 => {
                let Members(members) = self.read(raw)?;
                let entry = |(key, value): (&'a RawValue, &'a RawValue)| {
                    Ok(Entry {
                        name: self.read::<String>(key)?.into(),
                        line: self.line(key),
                        value: self.value(value, depth - 1)?,
                    })
                };
                Value::Table(
                    members
                        .into_iter()
                        .map(entry)
                        .collect::<Result<_, BadConfiguration>>()?,
                )
            }
            Some(b'[') if depth > 0 => {
                let elements: Vec<&'a RawValue> = self.read(raw)?;
                let element = |value: &'a RawValue| {
                    Ok(Element {
                        line: self.line(value),
                        value: self.value(value, depth - 1)?,
                    })
                };
                Value::List(
                    elements
                        .into_iter()
                        .map(element)
                        .collect::<Result<_, BadConfiguration>>()?,
                )
            }
            Some(b'{') => Value::Other("an object"),
            Some(b'"') => Value::Text(self.read::<String>(raw)?.into()),
            Some(b'[') => Value::Other("an array"),
            Some(b't') => Value::Boolean(true),
            Some(b'f') => Value::Boolean(false),
            Some(b'n') => Value::Null,
            _ if text.contains(['.', 'e', 'E']) => Value::Float(text.into()),
            _ => Value::Integer(text.into(), text.parse().ok()),
        })
    }
}

/// An error in a part of the text that begins on `line`.
fn bad(error: &serde_json::Error, line: usize) -> BadConfiguration {
    let text = error.to_string();
    // serde_json appends the position within the part, which would be wrong for the file.
    let reason = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    BadConfiguration {
        line: Some(line + error.line().saturating_sub(1)),
        reason: format!("not JSON: {reason}"),
        ..BadConfiguration::default()
    }
}

/// The error of a text that is not JSON. Some common mistakes have an explanation.
fn not_json(error: &serde_json::Error, text: &str) -> BadConfiguration {
    let mut bad = bad(error, 1);
    if let Some(explanation) = syntax::of_json(text, error.line(), error.column()) {
        bad.reason = format!("not JSON: {explanation}");
    }
    bad
}
