//! The log of the proxy: sentences on stderr. It has no times, because service managers and
//! containers add them.

use std::fmt::{self, Write as _};
use std::io;

use rcmgr_atomic::shown;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Logs from now on what the libraries report with `tracing`.
pub fn start() -> io::Result<()> {
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        // The report of a line that cannot be written would go to stderr, too, and panic there.
        .log_internal_errors(false)
        .event_format(Sentences)
        .with_max_level(Level::INFO);
    log.try_init().map_err(io::Error::other)
}

/// Each event as a line. Sentences of the refusal log have the values of their fields, so these are
/// left out. The mistakes of a file have the form of a compiler's.
struct Sentences;

impl<S, N> FormatEvent<S, N> for Sentences
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        line.write(*event.metadata().level(), &mut writer)
    }
}

/// The fields of an event that a line shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    message: String,
    /// The file that a watcher reports about.
    file: String,
    line: String,
    field: String,
    /// Why the file is bad.
    reason: String,
}

impl Line {
    fn write(&self, level: Level, to: &mut impl fmt::Write) -> fmt::Result {
        if !self.file.is_empty() {
            write!(to, "{:.1000}:", shown(&self.file))?;
            if !self.line.is_empty() {
                write!(to, "{}:", self.line)?;
            }
            to.write_char(' ')?;
        }
        match level {
            Level::ERROR => to.write_str("error: ")?,
            Level::WARN => to.write_str("warning: ")?,
            _ => {}
        }
        if !self.reason.is_empty() {
            if !self.field.is_empty() {
                write!(to, "{}: ", self.field)?;
            }
            return writeln!(to, "{}; nothing is changed", self.reason);
        }
        writeln!(to, "{}", self.message)
    }

    fn set(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let text = match field.name() {
            "message" => &mut self.message,
            "file" => &mut self.file,
            "line" => &mut self.line,
            "field" => &mut self.field,
            "reason" | "error" => &mut self.reason,
            _ => return,
        };
        // Writing to a string cannot fail.
        let _ = text.write_fmt(value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(level: Level, line: &Line) -> String {
        let mut text = String::new();
        line.write(level, &mut text).unwrap();
        text
    }

    #[test]
    fn a_sentence_stands_by_itself_and_a_mistake_has_its_place() {
        let sentence = Line {
            message: "system refused 9 inbound connections".into(),
            ..Line::default()
        };
        assert_eq!(
            written(Level::WARN, &sentence),
            "warning: system refused 9 inbound connections\n",
        );
        let mistake = Line {
            message: "the limits file is invalid; the limits stay as they are".into(),
            file: "/etc/guard\n.toml".into(),
            line: "3".into(),
            field: "listen.to".into(),
            reason: "no port".into(),
        };
        assert_eq!(
            written(Level::WARN, &mistake),
            "/etc/guard\\n.toml:3: warning: listen.to: no port; nothing is changed\n",
        );
    }
}
