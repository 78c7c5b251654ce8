//! Prints to stdout and stderr. If the reader of stdout exits early, as `head` does, that is not an
//! error.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use ratatui::crossterm::terminal;

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
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
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
