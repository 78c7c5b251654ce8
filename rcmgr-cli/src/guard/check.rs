//! `rcmgr guard check`: checks the file or the arguments of the proxy.

use std::process::ExitCode;

use rcmgr_guard::Descriptors;

use super::source::Source;
use super::start::{Start, allowed_descriptors};
use crate::output::{print, print_error};

/// Reads the settings, and prints what the proxy would do.
pub fn run(source: &Source) -> ExitCode {
    let file = match source.read_or_report() {
        Ok(file) => file,
        Err(status) => return status,
    };
    let descriptors = Descriptors::of(&file.settings, allowed_descriptors());
    let start = Start::new(&file, descriptors);
    start.warnings().iter().for_each(print_error);
    match print(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format_args!("cannot print: {error}"));
            ExitCode::FAILURE
        }
    }
}
