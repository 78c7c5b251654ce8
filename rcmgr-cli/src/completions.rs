//! `rcmgr completions`: the completions of a shell, made from the definition of the arguments.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::{print, print_error};

/// The options of `rcmgr completions`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of `command`.
pub fn run(options: &Options, mut command: Command) -> ExitCode {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    match print(String::from_utf8_lossy(&script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format_args!("rcmgr: cannot write the output: {error}"));
            ExitCode::FAILURE
        }
    }
}
