//! The keys and values of a file with their lines, in the same form for JSON and TOML.

use std::borrow::Cow;

/// A key of a file and its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub name: Cow<'a, str>,
    /// The key's line, from 1.
    pub line: usize,
    pub value: Value<'a>,
}

/// The values that a limits file may contain, and the kinds of other values.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Table(Vec<Entry<'a>>),
    Text(Cow<'a, str>),
    /// A whole number as written, and its value if it is in range.
    Integer(Cow<'a, str>, Option<u64>),
    /// A number with a fraction or exponent, as written.
    Float(Cow<'a, str>),
    /// A value of another kind, by name with an article.
    Other(&'static str),
}

/// The maximum nesting of tables: the file, a class, a named entry. Deeper levels are not parsed,
/// which bounds the use of the stack.
pub(super) const DEPTH: usize = 3;

/// The positions of the line breaks of a text.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The line, from 1, of the byte at this position.
    pub(super) fn at(&self, position: usize) -> usize {
        self.0.partition_point(|line_break| *line_break < position) + 1
    }
}
