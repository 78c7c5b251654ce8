//! Reads values of the parsed file, and gathers its mistakes with their lines.

use std::time::Duration;

use rcmgr_config::nearest;
use rcmgr_core::{BadConfiguration, shown};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::values;

/// A value of the file, and where it is.
pub(super) struct Field<'t, 'a> {
    /// Its keys, joined with dots.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
    pub value: &'t DeValue<'a>,
}

/// The mistakes of a file while it is read.
pub(super) struct Reader<'s> {
    lines: &'s Lines,
    pub mistakes: Vec<BadConfiguration>,
}

/// The value of a key, if the table has it.
pub(super) fn get<'t, 'a>(
    table: &'t DeTable<'a>,
    within: &str,
    name: &str,
    lines: &Lines,
) -> Option<Field<'t, 'a>> {
    let (key, value) = table.get_key_value(name)?;
    let path = match within {
        "" => name.into(),
        within => format!("{within}.{name}"),
    };
    Some(Field {
        path,
        line: lines.at(key.span().start),
        value: value.get_ref(),
    })
}

/// The positions of the line breaks of a text.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The line, from 1, of the byte at this position.
    fn at(&self, position: usize) -> usize {
        self.0.partition_point(|line_break| *line_break < position) + 1
    }
}

impl<'s> Reader<'s> {
    pub(super) fn new(lines: &'s Lines) -> Self {
        Self {
            lines,
            mistakes: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, field: &Field<'_, '_>, reason: String) {
        self.add_at(field.line, &field.path, reason);
    }

    pub(super) fn add_at(&mut self, line: usize, path: &str, reason: String) {
        self.mistakes.push(BadConfiguration {
            line: Some(line),
            field: path.into(),
            reason,
            ..BadConfiguration::default()
        });
    }

    /// The result, or a record of the mistake.
    pub(super) fn ok<T>(&mut self, field: &Field<'_, '_>, result: Result<T, String>) -> Option<T> {
        result.map_err(|reason| self.add(field, reason)).ok()
    }

    /// The fields of a table. Keys that are not among the known ones are mistakes.
    pub(super) fn table<'t, 'a>(
        &mut self,
        field: &Field<'t, 'a>,
        known: &[&str],
    ) -> Option<Table<'t, 'a, 's>> {
        self.table_beside(field, known, "", &[])
    }

    /// As [`table`](Self::table), for a table that may have keys of another one by mistake.
    pub(super) fn table_beside<'t, 'a>(
        &mut self,
        field: &Field<'t, 'a>,
        known: &[&str],
        other: &str,
        known_in_other: &[&str],
    ) -> Option<Table<'t, 'a, 's>> {
        let DeValue::Table(fields) = field.value else {
            let reason = format!("expected a table, found {}", field.kind());
            self.add(field, reason);
            return None;
        };
        for key in fields
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
        {
            let name = key.get_ref();
            let reason = match nearest(name, known) {
                _ if known_in_other.contains(&name.as_ref()) => {
                    format!("this key must be in {other}")
                }
                Some(near) => format!("unknown key; did you mean {near:?}?"),
                None => format!("unknown key; the known keys are {}", known.join(", ")),
            };
            let path = format!("{}.{}", field.path, shown(name));
            self.add_at(self.lines.at(key.span().start), &path, reason);
        }
        Some(Table {
            fields,
            path: field.path.clone(),
            line: field.line,
            lines: self.lines,
        })
    }

    /// The elements of an array, each with the path of the array.
    pub(super) fn elements<'t, 'a>(
        &self,
        field: &Field<'_, '_>,
        array: &'t [Spanned<DeValue<'a>>],
    ) -> Vec<Field<'t, 'a>> {
        let element = |element: &'t Spanned<DeValue<'a>>| Field {
            path: field.path.clone(),
            line: self.lines.at(element.span().start),
            value: element.get_ref(),
        };
        array.iter().map(element).collect()
    }

    /// Reads a field of a table, if it is there and right.
    pub(super) fn read<'t, 'a, T>(
        &mut self,
        table: &Table<'t, 'a, '_>,
        name: &str,
        read: impl FnOnce(&Field<'t, 'a>) -> Result<T, String>,
    ) -> Option<T> {
        let field = table.get(name)?;
        let result = read(&field);
        self.ok(&field, result)
    }
}

/// The fields of a table, and where it is.
pub(super) struct Table<'t, 'a, 's> {
    fields: &'t DeTable<'a>,
    pub path: String,
    pub line: usize,
    lines: &'s Lines,
}

impl<'t, 'a> Table<'t, 'a, '_> {
    pub(super) fn get(&self, name: &str) -> Option<Field<'t, 'a>> {
        get(self.fields, &self.path, name, self.lines)
    }
}

impl<'t> Field<'t, '_> {
    /// The kind of the value, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }

    pub(super) fn text(&self, such_as: &str) -> Result<&'t str, String> {
        match self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(format!(
                "expected a string such as {such_as:?}, found {}",
                self.kind()
            )),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, String> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(format!("expected true or false, found {}", self.kind())),
        }
    }

    /// A whole number from 1 to `most`.
    pub(super) fn count(&self, most: usize) -> Result<usize, String> {
        let expected = format!("expected a whole number from 1 to {most}");
        let DeValue::Integer(integer) = self.value else {
            return Err(format!("{expected}, found {}", self.kind()));
        };
        let number = usize::from_str_radix(integer.as_str(), integer.radix()).ok();
        number
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| format!("{expected}, found {:.20}", shown(&integer.to_string())))
    }

    pub(super) fn duration(&self) -> Result<Duration, String> {
        values::duration(self.text("2s")?)
    }

    pub(super) fn nonzero_duration(&self) -> Result<Duration, String> {
        values::nonzero_duration(self.text("2s")?)
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, String> {
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let expected = || {
            let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
            format!("expected {}", quoted.join(" or "))
        };
        let DeValue::String(text) = self.value else {
            return Err(format!("{}, found {}", expected(), self.kind()));
        };
        let word = words.iter().find(|(name, _)| *name == text.as_ref());
        word.map(|(_, value)| *value)
            .ok_or_else(|| match nearest(text, &names) {
                Some(near) => format!("unknown value {:?}; did you mean {near:?}?", shown(text)),
                None => format!("{}, found {:?}", expected(), shown(text)),
            })
    }
}
