//! Prints to stdout and stderr. If the reader of stdout exits early, as `head` does, that is not an
//! error.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use ratatui::crossterm::terminal;
use unicode_width::UnicodeWidthStr;

/// The exit status for a wrong use of the command line, as that of a wrong argument.
const WRONG_USE: u8 = 2;

/// Prints a text on stdout as it is.
pub fn print(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(text.to_string().as_bytes())
        .and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Prints a line on stderr. Errors are ignored, because there is no other place to report them.
pub fn print_error(line: impl Display) {
    let line = for_stderr(&format!("{line}\n"));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Lines for stderr. On a terminal, long lines continue on the next one at a space: the terminal
/// would cut words and numbers.
pub fn for_stderr(text: &str) -> String {
    let size = io::stderr().is_terminal().then(terminal::size);
    match size {
        Some(Ok((columns @ 1.., _))) => wrapped(text, columns.into()),
        _ => text.to_owned(),
    }
}

/// Lines of at most `columns`, unless a word is longer: longer lines continue at a space.
pub fn wrapped(text: &str, columns: usize) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut used = 0;
        for word in line.split_inclusive(' ') {
            let width = word.trim_end().width();
            if used > 0 && used + width > columns {
                lines.truncate(lines.trim_end_matches(' ').len());
                lines.push('\n');
                used = 0;
            }
            lines.push_str(word);
            used += word.trim_end_matches('\n').width();
        }
    }
    lines
}

/// Prints the error of arguments that do not fit together, as for a wrong argument.
pub fn wrong_use(error: impl Display) -> ExitCode {
    print_error(format_args!(
        "error: {error}\n\nFor more information, try '--help'."
    ));
    ExitCode::from(WRONG_USE)
}

/// The number of columns of the terminal that stdout goes to. `None` if it is not a terminal, or
/// if the terminal does not say: then a line may have any length.
pub fn terminal_columns() -> Option<usize> {
    let size = io::stdout().is_terminal().then(terminal::size)?.ok();
    let columns = size.map(|(columns, _)| usize::from(columns));
    columns.filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_continues_at_a_space() {
        let text = "system refused 133,564 inbound connections: 603 of 603 in use\nshort\n";
        for columns in 12..80 {
            let lines = wrapped(text, columns);
            assert_eq!(
                lines.replace('\n', " "),
                text.replace('\n', " "),
                "{columns}"
            );
            let widest = lines.lines().map(UnicodeWidthStr::width).max();
            assert!(widest <= Some(columns), "{columns}: {lines}");
        }
        assert_eq!(wrapped(text, 80), text);
        assert_eq!(wrapped("  10.0 s  now: 5\n", 80), "  10.0 s  now: 5\n");
    }
}
