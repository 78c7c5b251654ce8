//! The program `rcmgr`.
//!
//! `rcmgr demo`, which is also what `rcmgr` alone does, shows the resource manager at work: a TCP
//! server that stays within its limits while it is flooded. `rcmgr study` measures it.

#![forbid(unsafe_code)]

mod demo;
mod limit_args;
mod study;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A network resource manager at work.
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
    /// passed, 1 if not, and 2 if an argument is wrong.
    Demo(demo::Options),
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
        Some(Command::Study(options)) => study::run(&options),
        None => demo::run(&cli.demo),
    }
}
