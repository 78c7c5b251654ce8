//! `rcmgr guard check`: checks the file or the arguments of the proxy.

use std::process::ExitCode;

use super::source::{Source, WrongSource};
use super::start::{Start, allowed_descriptors};
use crate::output::{print, print_error, wrong_use};

/// Reads the settings, and prints what the proxy would do.
pub fn run(source: &Source) -> ExitCode {
    let file = match source.read() {
        Ok(file) => file,
        Err(WrongSource::Arguments(reason)) => return wrong_use(reason),
        Err(WrongSource::File(errors)) => {
            print_error(errors);
            return ExitCode::FAILURE;
        }
    };
    let start = Start::new(&file, allowed_descriptors());
    start.warnings().iter().for_each(print_error);
    match print(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format_args!("cannot print: {error}"));
            ExitCode::FAILURE
        }
    }
}
