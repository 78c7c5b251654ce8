//! The program `rcmgr`.
//!
//! `rcmgr demo` shows the resource manager at work: a TCP server that stays within its limits while
//! it is flooded, beside the same server without the manager.
//!
//! `rcmgr limits` shows the limits that a file gives on a machine, the origin of each, and the
//! limits that cannot work. `rcmgr limits check` checks files, and `rcmgr limits diff` compares
//! two. `rcmgr guard` runs a TCP proxy in front of any server. `rcmgr replay` summarizes a trace and
//! replays it under other limits. `rcmgr top` shows a server's manager in a terminal. `rcmgr study`
//! measures the engine. `rcmgr completions` prints the completions of a shell.
//!
//! The exit status is 0 for success, 1 for a wrong file or a failed run, and 2 for a wrong use of
//! the command line, an option without effect included.

#![forbid(unsafe_code)]
// `println!` and `eprintln!` panic when nobody reads the output. The functions of `output` do not.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod completions;
mod demo;
mod files;
mod fitted;
mod guard;
mod limits;
mod output;
mod replay;
mod study;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A network resource manager: a demo, a proxy, limits, traces, a live view, and benchmarks.
///
/// The exit status of every command is 0 for success, 1 for a wrong file or a failed run, and 2 for
/// a wrong use of the command line. Without a command, prints this help, with status 2.
#[derive(Debug, Parser)]
#[command(
    name = "rcmgr",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Flood a TCP server on loopback, without and with the manager
    ///
    /// Starts a server and its clients in one process: honest clients, and addresses that flood
    /// the server. The same flood runs twice: first without the manager, then with it. At the end
    /// it prints what the honest clients got in each run, and how the manager did it. Ctrl-C ends
    /// the flood early, with the same summary; a second Ctrl-C ends the program at once.
    ///
    /// The exit status is 0 if all counters are zero at the end and no limit was ever exceeded, 1
    /// if not or if the limits file is wrong, and 2 if an argument is wrong.
    Demo(demo::Options),

    /// Run a TCP proxy that admits connections to any server
    ///
    /// The proxy listens in front of one or more backends, and admits each connection with a
    /// resource manager: by address, by service and in all. Its listeners and limits are in a TOML
    /// file; or it has one listener, from arguments, and the limits are in a file. It follows the
    /// file: a change takes effect at once, and no connection is cut. A file that is wrong changes
    /// nothing and is reported.
    ///
    /// At start it raises the soft limit of file descriptors to the hard one, prints the listeners
    /// and how many connections the descriptors allow, and lowers the limits to that.
    ///
    /// SIGTERM or Ctrl-C ends it: no new connections are accepted, and those that are open may go on
    /// for the time of --drain. A second signal cuts them at once. SIGHUP reads the file again.
    ///
    /// The exit status is 0 after it has ended, 1 if it cannot start, for example because the file
    /// is wrong, 2 if an argument is wrong or has no effect, and 130 or 143 after a second signal.
    Guard(guard::GuardOptions),

    /// Show limits and their origins; check and compare limits files
    ///
    /// Shows the limits of a server that reads the FILEs and takes all other limits from the
    /// defaults. The defaults are a table of the library, scaled to this machine or to --memory and
    /// --fds, or fitted into a --budget. The first line names them. Each scope's line has the
    /// origin of its limits: `scaled` and `fixed` are from the table, `budget` is a share of the
    /// budget, `file.toml:3-5` are lines of a file, and `as` names the class whose limits a named
    /// scope inherits. Use --explain for the calculation of every value. Limits by address, and what
    /// a dry run evaluates, follow below the table.
    ///
    /// Prints a warning on stderr for each limit that cannot work as written: above the limit of
    /// its parent scope or the resources of this machine, one direction above the total, or a limit
    /// that allows nothing.
    ///
    /// The exit status is 0 if the limits were printed, even with warnings, 1 if a file is wrong,
    /// and 2 if an argument is wrong.
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
    /// are reported on stderr. Any other line that is not an event is an error, and so are files
    /// without any event.
    ///
    /// The exit status is 0 if everything was read, 1 if a file cannot be read or written or is not
    /// a trace, and 2 if an argument is wrong or has no effect.
    Replay(replay::Options),

    /// Watch the manager of a server in a terminal
    ///
    /// Shows the data of the live view at the URL, for example that of the demo: what is refused
    /// now, with the setting to change, and usage, limits and refusals of each scope, those closest
    /// to a limit first. Press ? for the keys. If the server does not answer, the last data stays on
    /// the screen and the program tries again.
    ///
    /// If the output is not a terminal, prints the state once, as with --once.
    ///
    /// The exit status is 0 if the view was quit or printed, 1 if there was no answer to print or
    /// no terminal, and 2 if an argument is wrong.
    Top(top::Options),

    /// Measure the engine on one thread and under contention, and compare it with others
    ///
    /// The exit status is 0 if everything was measured and written, 1 if not, and 2 if an argument
    /// is wrong.
    Study(study::Options),

    /// Print the completions of a shell
    ///
    /// For example, `rcmgr completions bash > /etc/bash_completion.d/rcmgr` installs those of bash
    /// for all users, and `source <(rcmgr completions zsh)` loads those of zsh into a running
    /// shell.
    Completions(completions::Options),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Guard(options) => guard::run(&options),
        Command::Limits(options) => limits::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Study(options) => study::run(&options),
        Command::Top(options) => top::run(&options),
        Command::Completions(options) => completions::run(&options, Cli::command()),
    }
}
