//! The mistakes of a file: all of them, up to a number.

use std::fmt;
use std::path::Path;

use rcmgr_core::{BadConfiguration, Error};

/// The maximum number of mistakes that are kept.
const SHOWN: usize = 50;

/// The maximum number of mistakes that are gathered before they are sorted by line.
const GATHERED: usize = 1000;

/// All mistakes of a limits file, in the order of their lines. At most 50 are kept, the others are
/// only counted.
///
/// Its text has a line for each mistake. The [first](Self::first) is the one that
/// [`LimitsFile::read`](crate::LimitsFile::read) returns.
///
/// ```
/// use rcmgr_config::{FileFormat, LimitsFile};
///
/// let text = "[System]\nMemry = 1\n[Sevice.x]\nFD = 1\n";
/// let errors = LimitsFile::from_text_with_all_errors(text, FileFormat::Toml).unwrap_err();
/// assert_eq!(
///     errors.to_string(),
///     "line 2: System.Memry: unknown key; did you mean \"Memory\"?\n\
///      line 3: Sevice: unknown key; did you mean \"Service\"?",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsFileErrors {
    first: Box<BadConfiguration>,
    others: Vec<BadConfiguration>,
    more: usize,
}

impl LimitsFileErrors {
    /// The first mistake.
    pub const fn first(&self) -> &BadConfiguration {
        &self.first
    }

    /// The mistakes, at most 50.
    pub fn iter(&self) -> impl Iterator<Item = &BadConfiguration> {
        std::iter::once(&*self.first).chain(&self.others)
    }

    /// The number of mistakes that [`iter`](Self::iter) leaves out.
    pub const fn more(&self) -> usize {
        self.more
    }

    /// The mistakes in the order of their lines; `None` if there are none.
    pub fn new(mistakes: impl IntoIterator<Item = BadConfiguration>) -> Option<Self> {
        let mut all = Mistakes::default();
        mistakes.into_iter().for_each(|mistake| all.add(mistake));
        all.none_or(()).err()
    }

    /// Names the file in every mistake.
    #[must_use]
    pub fn of_file(mut self, path: &Path) -> Self {
        self.first.file = Some(path.to_owned());
        for mistake in &mut self.others {
            mistake.file = Some(path.to_owned());
        }
        self
    }
}

impl std::error::Error for LimitsFileErrors {}

impl fmt::Display for LimitsFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.first, f)?;
        for mistake in &self.others {
            write!(f, "\n{mistake}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl From<BadConfiguration> for LimitsFileErrors {
    fn from(only: BadConfiguration) -> Self {
        Self {
            first: Box::new(only),
            others: Vec::new(),
            more: 0,
        }
    }
}

/// The first mistake.
impl From<LimitsFileErrors> for BadConfiguration {
    fn from(errors: LimitsFileErrors) -> Self {
        *errors.first
    }
}

/// The first mistake.
impl From<LimitsFileErrors> for Error {
    fn from(errors: LimitsFileErrors) -> Self {
        BadConfiguration::from(errors).into()
    }
}

/// Gathers mistakes while a file is interpreted.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    gathered: Vec<BadConfiguration>,
    more: usize,
}

impl Mistakes {
    pub(super) fn add(&mut self, mistake: BadConfiguration) {
        if self.gathered.len() < GATHERED {
            self.gathered.push(mistake);
        } else {
            self.more += 1;
        }
    }

    /// The value, or a record of the mistake.
    pub(super) fn ok<T>(&mut self, result: Result<T, BadConfiguration>) -> Option<T> {
        result.map_err(|mistake| self.add(mistake)).ok()
    }

    /// The value if there was no mistake.
    pub(super) fn none_or<T>(mut self, value: T) -> Result<T, LimitsFileErrors> {
        self.gathered.sort_by_key(|mistake| mistake.line);
        let more = self.more + self.gathered.len().saturating_sub(SHOWN);
        self.gathered.truncate(SHOWN);
        let mut mistakes = self.gathered.into_iter();
        match mistakes.next() {
            None => Ok(value),
            Some(first) => Err(LimitsFileErrors {
                first: Box::new(first),
                others: mistakes.collect(),
                more,
            }),
        }
    }
}
