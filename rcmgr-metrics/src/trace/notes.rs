//! Oddities of trace files that are not errors.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Oddities of the files that are not errors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// The number of events.
    pub events: u64,
    /// The files that are cut off.
    pub cut_off: Vec<CutOff>,
    /// Events of unknown types, by type.
    pub unknown_types: Counted,
    /// Unknown fields, by name.
    pub unknown_fields: Counted,
    /// The files that start before the end of the previous file.
    pub out_of_order: Vec<PathBuf>,
    /// Events without a time, as the first releases of go-libp2p's resource manager wrote them.
    pub without_time: u64,
}

/// The place where a file is cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CutOff {
    /// The file.
    pub file: PathBuf,
    /// The last complete line, counted from 1.
    pub after_line: u64,
    /// The part that is cut off: the gzip stream, or the last line.
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
            "{file}: {what} is cut off after line {after_line}; the lines up to there are used"
        )
    }
}

impl Notes {
    /// The oddities as text, one a line.
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
                "{}: it starts before the end of the previous file: are the files in order?",
                file.display()
            ));
        }
        if self.without_time > 0 {
            lines.push(format!(
                "{} events have no time, as in early traces: there is no usage over time",
                self.without_time
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
            "events have unknown types and were skipped",
            &self.unknown_types,
        );
        unknown("fields are unknown and were skipped", &self.unknown_fields);
        lines
    }
}

/// Counts by name. If there are many different names, only the first ones are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The sum of all counts.
    pub total: u64,
    /// The count of each name, for the first names.
    pub names: BTreeMap<String, u64>,
}

impl Counted {
    /// The number of names that are kept, and their length: they come from a file.
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
