//! The program `rcmgr`.
//!
//! `rcmgr demo`, which is also what `rcmgr` alone does, shows the resource manager at work: a TCP
//! server that stays within its limits while it is flooded.
//!
//! `rcmgr limits` is for those who run a server: it shows the limits that a file gives on
//! a machine, where each of them comes from, and what can't work; `rcmgr limits check` checks
//! files, and `rcmgr limits diff` compares two. `rcmgr replay` says what is in a trace, and what other
//! limits would have made of it. `rcmgr top` shows in a terminal what a server's manager does. `rcmgr study`
//! measures the engine.
//!
//! The exit status is 0 for a good answer, 1 for a bad one, such as a file with an error, two that
//! differ, or a demo that could not run to its end, and 2 for none, as with a wrong argument.

#![forbid(unsafe_code)]

mod demo;
mod files;
mod limit_args;
mod limits;
mod output;
mod replay;
mod study;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A network resource manager at work, its limits, and what it costs.
///
/// Without a command it runs the demo, and takes the demo's options.
#[derive(Debug, Parser)]
#[command(name = "rcmgr", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: demo::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guard a TCP server on loopback while some clients are honest and some flood it
    ///
    /// The exit status is 0 if every counter is back at zero at the end and no limit was ever
    /// passed, 1 if not, and 2 if an argument or the file of limits is wrong.
    Demo(demo::Options),

    /// Show limits and where each comes from; check and compare files of limits
    ///
    /// Shown are the limits of a server that reads the FILEs and takes the rest from defaults: a
    /// table of the library's, which is scaled to this machine, to a given --memory and --fds, or
    /// fitted into a --budget. A scope's line says where its limits come from: `scaled` and
    /// `fixed` are the table's, `budget` is a share of the budget, `file.toml:3-5` are lines of a
    /// file, and what a named scope does not set itself is `as` its class has it. Use --explain for
    /// the reckoning of every single value.
    ///
    /// On stderr is a warning for each limit that can't work as it reads: over what its parent
    /// scope or this machine allows, one direction over the total, or nothing allowed at all.
    ///
    /// The exit status is 0 if the limits were printed, with warnings or without, and 2 for wrong
    /// arguments, a file that can't be read, and other trouble.
    Limits(limits::LimitsOptions),

    /// Say what a trace has, and what other limits would have made of it
    ///
    /// The TRACE files are one trace, the oldest first: JSON lines as go-libp2p's resource manager
    /// writes them, gzipped or plain. Printed is what each scope used at the end, its peaks, and
    /// what it refused.
    ///
    /// With --limits, or with options for the defaults, every operation of the trace is asked again
    /// under these limits: which grants would have been refused, and which refusals granted. With
    /// --suggest, limits are printed under which all of it would have been granted.
    ///
    /// A file that is cut off counts up to there, which is told on stderr; so is what is skipped
    /// because it is not known. Any other line that is no event is an error.
    ///
    /// The exit status is 0 if all was read, 1 if a file can't be read or written, and 2 if an
    /// argument is wrong.
    Replay(replay::Options),

    /// Watch the manager of a server in a terminal
    ///
    /// Shown is what the server's live view tells at the URL, such as that of a demo: each scope's usage
    /// of its limits, those nearest to one first, what it refused, and how fast it refuses. Press
    /// ? for the keys. While the server does not answer, what was last known stays, and it is asked
    /// again.
    ///
    /// Where the output is no terminal, what is there now is printed once, as with --once.
    ///
    /// The exit status is 0 if the view was quit or printed, 1 if there was no answer to print, or no
    /// terminal to draw on, and 2 if an argument is wrong.
    Top(top::Options),

    /// Measure the engine, alone and when threads meet, beside others that do the same work
    ///
    /// The exit status is 0 if all was measured and written, 1 if not, and 2 if an argument is
    /// wrong.
    Study(study::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Demo(options)) => demo::run(&options),
        Some(Command::Limits(options)) => limits::run(&options),
        Some(Command::Replay(options)) => replay::run(&options),
        Some(Command::Study(options)) => study::run(&options),
        Some(Command::Top(options)) => top::run(&options),
        None => demo::run(&cli.demo),
    }
}
