//! The program `rcmgr`.
//!
//! `rcmgr demo`, also the default command, shows the resource manager at work: a TCP server that
//! stays within its limits while it is flooded.
//!
//! `rcmgr limits` shows the limits that a file gives on a machine, the origin of each, and the
//! limits that cannot work. `rcmgr limits check` checks files, and `rcmgr limits diff` compares
//! two. `rcmgr replay` summarizes a trace and replays it under other limits. `rcmgr top` shows a
//! server's manager in a terminal. `rcmgr study` measures the engine.
//!
//! The exit status is 0 for success, 1 for a negative result, such as an invalid file, two files
//! that differ, or a demo that failed, and 2 for no result, as with a wrong argument.

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

/// A network resource manager: a demo, its limits, traces, a live view, and benchmarks.
///
/// Without a command it runs the demo, with the options of the demo.
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
    /// Guard a TCP server on loopback against clients that flood it
    ///
    /// The exit status is 0 if all counters are zero at the end and no limit was ever exceeded, 1
    /// if not, and 2 if an argument or the limits file is wrong.
    Demo(demo::Options),

    /// Show limits and their origins; check and compare limits files
    ///
    /// Shows the limits of a server that reads the FILEs and takes all other limits from the
    /// defaults. The defaults are a table of the library, scaled to this machine or to --memory and
    /// --fds, or fitted into a --budget. Each scope's line has the origin of its limits: `scaled`
    /// and `fixed` are from the table, `budget` is a share of the budget, `file.toml:3-5` are lines
    /// of a file, and `as` names the class whose limits a named scope inherits. Use --explain for
    /// the calculation of every value.
    ///
    /// Prints a warning on stderr for each limit that cannot work as written: above the limit of
    /// its parent scope or the resources of this machine, one direction above the total, or a limit
    /// that allows nothing.
    ///
    /// The exit status is 0 if the limits were printed, even with warnings, and 2 for wrong
    /// arguments, unreadable files and other errors.
    Limits(limits::LimitsOptions),

    /// Summarize a trace, and replay it under other limits
    ///
    /// The TRACE files form one trace, the oldest first: JSON lines in the format of go-libp2p's
    /// resource manager, plain or gzipped. Prints the usage of each scope at the end, its peaks,
    /// and its refusals.
    ///
    /// With --limits, or with options for the defaults, every operation of the trace is checked
    /// again under these limits: which grants would have been refused, and which refusals granted.
    /// With --suggest, prints limits that would have granted everything in the trace.
    ///
    /// A file that is cut off is used up to that point. This and skipped unknown events and fields
    /// are reported on stderr. Any other line that is not an event is an error.
    ///
    /// The exit status is 0 if everything was read, 1 if a file cannot be read or written, and 2 if
    /// an argument is wrong.
    Replay(replay::Options),

    /// Watch the manager of a server in a terminal
    ///
    /// Shows the data of the live view at the URL, for example that of the demo: usage and limits
    /// of each scope, those closest to a limit first, refusals, and the rate of refusals. Press ?
    /// for the keys. If the server does not answer, the last data stays on the screen and the
    /// program tries again.
    ///
    /// If the output is not a terminal, prints the current state once, as with --once.
    ///
    /// The exit status is 0 if the view was quit or printed, 1 if there was no answer to print or
    /// no terminal, and 2 if an argument is wrong.
    Top(top::Options),

    /// Measure the engine on one thread and under contention, and compare it with others
    ///
    /// The exit status is 0 if everything was measured and written, 1 if not, and 2 if an argument
    /// is wrong.
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
