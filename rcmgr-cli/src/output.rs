//! Prints to stdout and stderr. If the reader of stdout exits early, as `head` does, that is not an
//! error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

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
