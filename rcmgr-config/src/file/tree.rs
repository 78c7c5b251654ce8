//! The keys and values of a file with their lines, the same for both syntaxes.

use std::borrow::Cow;

/// A key of a file, and what it is set to.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub name: Cow<'a, str>,
    /// The key's line, from 1.
    pub line: usize,
    pub value: Value<'a>,
}

/// What a file of limits may hold, and the kinds of what it may not.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Table(Vec<Entry<'a>>),
    Text(Cow<'a, str>),
    /// A whole number as it is written, and its value where it is in range.
    Integer(Cow<'a, str>, Option<u64>),
    /// A number with a fraction or an exponent, as it is written.
    Float(Cow<'a, str>),
    /// Something else, by its name with an article.
    Other(&'static str),
}

/// The tables that a file may have within each other: the file, a class, a named entry. What is
/// deeper is not looked into, so that no file takes more of the stack.
pub(super) const DEPTH: usize = 3;

/// Where the lines of a text begin.
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
