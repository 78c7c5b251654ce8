use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// What was odd about the files that were read, and no error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// How many events there were.
    pub events: u64,
    /// The files that end early.
    pub cut_off: Vec<CutOff>,
    /// Events of a type that is not known, by the type.
    pub unknown_types: Counted,
    /// Fields that are not known, by the field.
    pub unknown_fields: Counted,
    /// The files that begin before the end of the file before them.
    pub out_of_order: Vec<PathBuf>,
}

/// Where a file ends early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CutOff {
    /// The file.
    pub file: PathBuf,
    /// The last line, from 1, that could be read.
    pub after_line: u64,
    /// What is cut off: the gzip stream, or the last line.
    pub what: &'static str,
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            after_line,
            what,
        } = self;
        let file = file.display();
        write!(
            f,
            "{file}: {what} is cut off behind line {after_line}; all before it counts"
        )
    }
}

impl Notes {
    /// What was odd, in words, a line each.
    ///
    /// ```
    /// use rcmgr_metrics::trace::Notes;
    ///
    /// assert_eq!(Notes::default().lines(), [String::new(); 0]);
    /// ```
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.cut_off.iter().map(CutOff::to_string).collect();
        for file in &self.out_of_order {
            lines.push(format!(
                "{}: it begins before the end of the file before it: are the files in order?",
                file.display()
            ));
        }
        let mut unknown = |what: &str, counted: &Counted| {
            if counted.total > 0 {
                let names: Vec<_> = counted
                    .names
                    .keys()
                    .map(|name| format!("{name:?}"))
                    .collect();
                lines.push(format!("{} {what}: {}", counted.total, names.join(", ")));
            }
        };
        unknown(
            "events are of types that are not known, and were skipped",
            &self.unknown_types,
        );
        unknown(
            "fields are not known, and were skipped",
            &self.unknown_fields,
        );
        lines
    }
}

/// How often each of some names was met. Of many different ones, only the first are named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// All together.
    pub total: u64,
    /// The first names that were met.
    pub names: BTreeMap<String, u64>,
}

impl Counted {
    /// How many names are kept, and how long they are: they come from a file.
    const NAMES: usize = 16;
    const LENGTH: usize = 64;

    pub(super) fn count(&mut self, name: &str) {
        self.total += 1;
        let name: String = name.chars().take(Self::LENGTH).collect();
        if let Some(count) = self.names.get_mut(&name) {
            *count += 1;
        } else if self.names.len() < Self::NAMES {
            self.names.insert(name, 1);
        }
    }
}
