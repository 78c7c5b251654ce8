//! `rcmgr limits`: what the limits are, and why they are so.
//!
//! All its commands build [files over defaults](configuration::Configuration) as a server does, and
//! can say of each value where it [comes from](origin::Origin).

pub mod amount;
mod check;
pub mod configuration;
pub mod defaults;
mod diff;
mod origin;
mod show;
pub mod table;
mod written;

use std::io;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rcmgr_atomic::{BadConfiguration, LimitsKey};
use rcmgr_config::Machine;

use crate::output::complain;

/// What can be chosen about limits.
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
    /// Check files of limits
    ///
    /// Every file is read and built over the defaults. On stderr is a line for each file that can't
    /// be read, as `file:line: field: reason`, and a line for each limit that can't work as it
    /// reads because of the file, as `file:line: warning: field: reason`.
    ///
    /// Limits are also compared with what this machine has; not so with --budget, or with --memory
    /// and --fds together: then the answer is the same on every machine.
    ///
    /// The exit status is 0 if all files are good, 1 if one is not (with --deny-warnings, also if
    /// there is a warning), and 2 for wrong arguments and other trouble.
    Check(check::CheckOptions),

    /// Compare two files of limits
    ///
    /// Both are built over the same defaults. Printed are lines like `System.Conns: 128 -> 64`, and
    /// `Peer.ID: added` or `Peer.ID: removed` for named entries; where there is no entry, the
    /// limits of its class are compared.
    ///
    /// The exit status is 0 if the limits are the same, 1 if not, and 2 for wrong arguments, a file
    /// that can't be read, and other trouble.
    Diff(diff::DiffOptions),
}

/// What keeps a command from giving an answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Configuration(#[from] BadConfiguration),
    #[error("rcmgr: can't write the output: {0}")]
    Output(#[from] io::Error),
}

const TROUBLE: u8 = 2;

/// Runs the command.
pub fn run(options: &LimitsOptions) -> ExitCode {
    let done = match &options.command {
        None => show::run(&options.show),
        Some(Command::Check(options)) => check::run(options),
        Some(Command::Diff(options)) => diff::run(options),
    };
    done.unwrap_or_else(|trouble| {
        complain(trouble);
        ExitCode::from(TROUBLE)
    })
}

/// A machine to compare limits with: one whose memory can't be told has none that is too much.
fn comparable(machine: Machine) -> Machine {
    match machine.memory {
        0 => Machine {
            memory: u64::MAX,
            ..machine
        },
        _ => machine,
    }
}

fn scope(text: &str) -> Result<LimitsKey, String> {
    text.parse().map_err(|bad: BadConfiguration| {
        format!(
            "{}; there are System, Transient, AllowlistedSystem, AllowlistedTransient, \
             ServiceDefault, Service.NAME, ServicePeerDefault, ServicePeer.NAME, ProtocolDefault, \
             Protocol.ID, ProtocolPeerDefault, ProtocolPeer.ID, PeerDefault, Peer.ID, Conn, Stream",
            bad.reason
        )
    })
}
