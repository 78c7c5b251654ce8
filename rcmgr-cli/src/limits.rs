//! `rcmgr limits`: shows limits and their origins.
//!
//! All commands build [files over defaults](configuration::Configuration) as a server does, and
//! know the [origin](origin::Origin) of each value.

mod advice;
pub mod amount;
mod beside;
mod check;
mod command_error;
pub mod configuration;
pub mod defaults;
mod diff;
mod origin;
mod preset;
mod show;
pub mod table;
mod written;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::output::print_error;

/// The options of `rcmgr limits`.
#[derive(Debug, Clone, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
pub struct LimitsOptions {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: show::ShowOptions,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Check limits files
    ///
    /// Reads every file and builds it over the defaults. Prints on stderr a line for each invalid
    /// file, as `file:line: field: reason`, and a line for each limit that cannot work as written
    /// because of the file, as `file:line: warning: field: reason`. All defaults that one field puts
    /// out of reach are one warning.
    ///
    /// Limits are also compared with the resources of this machine, except with --budget, or with
    /// --memory and --fds together: then the result is the same on every machine.
    ///
    /// The exit status is 0 if all files are valid, 1 if not (with --deny-warnings, also if there
    /// is a warning), and 2 if an argument is wrong.
    Check(check::CheckOptions),

    /// Compare two limits files
    ///
    /// Builds both over the same defaults. Prints lines like `System.Conns: 128 -> 64`, and
    /// `Peer.ID: added` or `Peer.ID: removed` for named entries. If a file lacks an entry, the
    /// limits of its class are compared.
    ///
    /// The exit status is 0 if the limits are the same, 1 if not or if a file is wrong, and 2 if an
    /// argument is wrong.
    Diff(diff::DiffOptions),
}

/// Runs the command. The exit status is 1 if a file is wrong, or if the output cannot be written.
pub fn run(options: &LimitsOptions) -> ExitCode {
    let done = match &options.command {
        None => show::run(&options.show),
        Some(Command::Check(options)) => check::run(options),
        Some(Command::Diff(options)) => diff::run(options),
    };
    done.unwrap_or_else(|command_error| {
        print_error(command_error);
        ExitCode::FAILURE
    })
}
