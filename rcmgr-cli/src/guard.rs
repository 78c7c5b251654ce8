//! `rcmgr guard`: a TCP proxy that admits each connection with a resource manager.
//!
//! Its settings and limits come from one file, or from arguments and a limits file.

mod check;
mod closed_log;
mod drain;
mod in_force;
mod inherited;
mod log;
mod run;
mod signals;
mod source;
mod start;
mod view;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use source::Source;

/// The options of `rcmgr guard`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct GuardOptions {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Check the file or the arguments of the proxy
    ///
    /// Prints the listeners, and how many connections the file descriptors of this process allow.
    /// Prints on stderr a line for each mistake of the file, as `file:line: field: reason`, and a
    /// line for each limit that cannot work as written, as `file:line: warning: field: reason`.
    ///
    /// The exit status is 0 if the file is valid, even with warnings, 1 if not, and 2 if an
    /// argument is wrong or has no effect.
    Check(Source),
}

/// Runs the command.
pub fn run(options: &GuardOptions) -> ExitCode {
    match &options.command {
        Some(Command::Check(source)) => check::run(source),
        None => run::run(&options.source),
    }
}
