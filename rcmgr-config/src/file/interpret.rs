//! Interprets the tree as limits: the only code that knows the keys and values of a limits file.

use std::collections::BTreeMap;

use rcmgr_core::{BadConfiguration, LimitValue, LimitsKey, Resource, Shown, shown};

use super::format::Format;
use super::tree::{Entry, Value};
use crate::{ByteSize, ByteSizeError, PartialLimits};

/// Another name for `System`, used by the BNB Greenfield storage provider.
const SYSTEM_LIMIT: &str = "SystemLimit";

/// The line of each field that a file sets.
pub(super) type FieldLines = BTreeMap<(LimitsKey, Resource), usize>;

struct Interpreter {
    format: Format,
    limits: PartialLimits,
    lines: FieldLines,
    /// The name and line of each entry, to detect an entry that is set under two names.
    given: BTreeMap<LimitsKey, (String, usize)>,
}

pub(super) fn interpret(
    root: &[Entry<'_>],
    format: Format,
) -> Result<(PartialLimits, FieldLines), BadConfiguration> {
    let mut interpreter = Interpreter {
        format,
        limits: PartialLimits::default(),
        lines: BTreeMap::new(),
        given: BTreeMap::new(),
    };
    interpreter.root(root)?;
    Ok((interpreter.limits, interpreter.lines))
}

impl Interpreter {
    fn root(&mut self, root: &[Entry<'_>]) -> Result<(), BadConfiguration> {
        unique(root, "")?;
        for entry in root {
            // A top-level key is a scope, a class of named entries, or unknown.
            let name = entry.name.as_ref();
            if name == SYSTEM_LIMIT {
                self.scope(LimitsKey::System, name, entry)?;
            } else if let Some(key) = scopes().find(|key| key.scope() == name) {
                self.scope(key, name, entry)?;
            } else if LimitsKey::CLASSES.contains(&name) {
                self.class(name, entry)?;
            } else {
                let known: Vec<&str> = scopes()
                    .map(|key| key.scope())
                    .chain(LimitsKey::CLASSES)
                    .chain([SYSTEM_LIMIT])
                    .collect();
                return Err(unknown(entry, &path("", name), &known));
            }
        }
        Ok(())
    }

    /// Interprets a class: a table with a scope for each name.
    fn class(&mut self, class: &str, entry: &Entry<'_>) -> Result<(), BadConfiguration> {
        let named = self.table(entry, class, "an entry for each name")?;
        unique(named, class)?;
        for entry in named {
            // `LimitsKey` checks the name: a peer id may be invalid.
            let path = path(class, &entry.name);
            let key = format!("{class}.{}", entry.name).parse();
            let key = key.map_err(|error: BadConfiguration| bad(entry, &path, error.reason))?;
            self.scope(key, &path, entry)?;
        }
        Ok(())
    }

    /// Interprets one scope. `path` is its name in the file.
    fn scope(
        &mut self,
        key: LimitsKey,
        path: &str,
        entry: &Entry<'_>,
    ) -> Result<(), BadConfiguration> {
        let fields = self.table(entry, path, "limits such as Memory")?;
        // One entry can have two names: System and SystemLimit, or two forms of a peer id.
        if let Some((other, line)) = self.given.get(&key) {
            let reason = format!("the same as {other} on line {line}: keep one of them");
            return Err(bad(entry, path, reason));
        }
        self.given.insert(key.clone(), (path.into(), entry.line));
        // An entry without fields is kept: it is listed with its defaults.
        unique(fields, path)?;
        let limit = self.limits.entry(key.clone());
        for field in fields {
            let path = self::path(path, &field.name);
            let known = Resource::IN_FILES;
            let resource = known
                .into_iter()
                .find(|resource| resource.field_name() == field.name);
            let resource =
                resource.ok_or_else(|| unknown(field, &path, &known.map(Resource::field_name)))?;
            let value = limit_value(resource, &field.value, self.format)
                .map_err(|reason| bad(field, &path, reason))?;
            // "default" leaves the field unset.
            if value.is_some() {
                *limit.get_mut(resource) = value;
                self.lines.insert((key.clone(), resource), field.line);
            }
        }
        Ok(())
    }

    /// The entries of a table, or an error that says what was expected.
    fn table<'t, 'a>(
        &self,
        entry: &'t Entry<'a>,
        path: &str,
        of: &str,
    ) -> Result<&'t [Entry<'a>], BadConfiguration> {
        match &entry.value {
            Value::Table(entries) => Ok(entries),
            other => {
                let (expected, found) = (self.format.table(), kind(other, self.format));
                Err(bad(
                    entry,
                    path,
                    format!("expected {expected} with {of}, found {found}"),
                ))
            }
        }
    }
}

/// The unnamed keys.
fn scopes() -> impl Iterator<Item = LimitsKey> {
    LimitsKey::SCOPES.into_iter()
}

/// The value of a field; `None` for the default.
fn limit_value(
    resource: Resource,
    value: &Value<'_>,
    format: Format,
) -> Result<Option<LimitValue>, String> {
    let expected = match resource {
        Resource::Memory => {
            "expected bytes, a size such as \"512 MiB\", \"unlimited\", \"blockAll\" or \"default\""
        }
        _ => "expected a number, \"unlimited\", \"blockAll\" or \"default\"",
    };
    let whole = |text: &str, whole: Option<u64>| match whole {
        Some(whole) => Ok(Some(LimitValue::of(whole))),
        None if text.starts_with('-') => Err(format!("{} is negative; {expected}", shown(text))),
        None => Err(format!(
            "{} is too large; the largest value is 2^64 - 1",
            shown(text)
        )),
    };
    match value {
        Value::Integer(text, value) => whole(text, *value),
        Value::Float(text) => Err(format!("{} is not a whole number; {expected}", shown(text))),
        Value::Text(text) => match text.as_ref() {
            "default" => Ok(None),
            "unlimited" => Ok(Some(LimitValue::Unlimited)),
            "blockAll" => Ok(Some(LimitValue::BLOCK_ALL)),
            text if resource == Resource::Memory => match text.parse() {
                Ok(ByteSize(bytes)) => Ok(Some(LimitValue::of(bytes))),
                Err(ByteSizeError::NoNumber) => Err(format!("found {:?}; {expected}", shown(text))),
                Err(error) => Err(format!("{:?}: {error}", shown(text))),
            },
            text if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                whole(text, text.parse().ok())
            }
            text => Err(format!("found {:?}; {expected}", shown(text))),
        },
        other => Err(format!("found {}; {expected}", kind(other, format))),
    }
}

/// Refuses a name that occurs twice.
fn unique(entries: &[Entry<'_>], within: &str) -> Result<(), BadConfiguration> {
    let mut lines = BTreeMap::new();
    for entry in entries {
        if let Some(line) = lines.insert(entry.name.as_ref(), entry.line) {
            let reason = format!("given twice, first on line {line}");
            return Err(bad(entry, &path(within, &entry.name), reason));
        }
    }
    Ok(())
}

fn unknown(entry: &Entry<'_>, path: &str, known: &[&str]) -> BadConfiguration {
    let reason = match nearest(&entry.name, known) {
        Some(name) => format!("unknown key; did you mean {name:?}?"),
        None => format!("unknown key; the known keys are {}", known.join(", ")),
    };
    bad(entry, path, reason)
}

/// The known name that was most likely meant, if one is close: at most a third of its characters
/// differ, ignoring case.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
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

fn bad(entry: &Entry<'_>, path: &str, reason: String) -> BadConfiguration {
    BadConfiguration {
        file: None,
        line: Some(entry.line),
        field: path.into(),
        reason,
    }
}

/// The path of a name within a scope or class, shortened for errors.
fn path(within: &str, name: &str) -> String {
    match within {
        "" => shown(name).to_string(),
        _ => format!("{within}.{}", shown(name)),
    }
}

/// The kind of a value, for errors.
const fn kind(value: &Value<'_>, format: Format) -> &'static str {
    match value {
        Value::Table(_) => format.table(),
        Value::Text(_) => "a string",
        Value::Integer(..) | Value::Float(_) => "a number",
        Value::Other(kind) => kind,
    }
}
