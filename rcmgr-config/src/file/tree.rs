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
    List(Vec<Element<'a>>),
    Text(Cow<'a, str>),
    /// A whole number as written, and its value if it is in range.
    Integer(Cow<'a, str>, Option<u64>),
    /// A number with a fraction or exponent, as written.
    Float(Cow<'a, str>),
    Boolean(bool),
    /// JSON's null: the same as leaving the key out.
    Null,
    /// A value of another kind, by name with an article.
    Other(&'static str),
}

/// A value in a list.
#[derive(Debug)]
pub(super) struct Element<'a> {
    /// Its line, from 1.
    pub line: usize,
    pub value: Value<'a>,
}

/// The maximum nesting of tables and lists, which bounds the use of the stack. Deeper values are
/// not parsed. The deepest value that is read is a rate in a dry run in a configuration of kubo:
/// `Swarm.ResourceMgr.Limits.DryRun.Addresses.Rates."IPv4/32".Burst`.
pub(super) const DEPTH: usize = 8;

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
