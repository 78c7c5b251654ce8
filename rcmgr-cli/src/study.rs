//! `rcmgr study`: measures the engine on one thread and under contention, beside others.

mod compare;
mod layout;
mod options;
mod progress;
mod simulated;
mod table;

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use rcmgr_study::{Machine, StudyError, Workload, calibrate, simulate, study};

pub use options::Options;

use crate::files::{Output, OutputError, canonical};
use crate::output::{print, print_error, terminal_columns, wrong_use};
use compare::CompareError;
use progress::Shown;

/// The errors that end the command.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("cannot write the output: {0}")]
    Print(#[from] io::Error),
    #[error("{} is used for more than one report", .0.display())]
    SameFile(PathBuf),
    #[error("{} is the file of --machine: a report would replace it", .0.display())]
    MachineFile(PathBuf),
    #[error("--peers has no effect: none of the chosen workloads is measured beside other peers")]
    NoPeers,
    #[error("{0} has no effect without --simulate")]
    OnlySimulated(&'static str),
    #[error(transparent)]
    Study(#[from] StudyError),
    #[error(transparent)]
    Compare(#[from] CompareError),
}

/// Runs the study, or compares two runs. The exit status is 0 if everything was measured and written, or two
/// runs do not differ; 1 if not; and 2 if the options ask for nothing.
pub fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(status) => status,
        Err(
            wrong @ (Failure::SameFile(_)
            | Failure::MachineFile(_)
            | Failure::NoPeers
            | Failure::OnlySimulated(_)
            | Failure::Study(
                StudyError::NothingToDo
                | StudyError::NotSimulated(_)
                | StudyError::TooManyCores { .. },
            )),
        ) => wrong_use(wrong),
        Err(failure) => failed(failure),
    }
}

fn failed(failure: impl Display) -> ExitCode {
    print_error(format_args!("rcmgr: {failure}"));
    ExitCode::FAILURE
}

fn try_run(options: &Options) -> Result<ExitCode, Failure> {
    if options.calibrate {
        print(calibrate()?.to_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let [before, after] = &options.compare[..] {
        return Ok(compare::run(before, after)?);
    }
    if let Some(option) = options.only_simulated() {
        return Err(Failure::OnlySimulated(option));
    }
    if options.simulate.is_none()
        && options.peers.is_some_and(|peers| peers > 0)
        && options.measured().workloads == [Workload::MemoryNearLimit]
    {
        return Err(Failure::NoPeers);
    }
    // Find unwritable files, and those that a report would replace, before the long study.
    let mut taken: Vec<_> = options.machine_file().map(canonical).into_iter().collect();
    let inputs = taken.len();
    let mut outputs = Vec::new();
    for (path, format) in options.outputs() {
        let file = canonical(path);
        match taken.iter().position(|other| *other == file) {
            Some(at) if at < inputs => return Err(Failure::MachineFile(path.to_owned())),
            Some(_) => return Err(Failure::SameFile(path.to_owned())),
            None => taken.push(file),
        }
        outputs.push((Output::begin(path)?, format));
    }
    print_error(Machine::detect().describe());
    note_debug_build();
    let mut shown = Shown::new();
    let mut progress = |progress| shown.show(&progress);
    let report = match &options.simulate {
        Some(cores) => simulate(&options.simulated(cores), &mut progress),
        None => study(&options.measured(), &mut progress),
    };
    drop(shown);
    let report = report?;
    // The study took minutes: a file that cannot be written must not lose the other files and the table.
    let mut unwritten = Vec::new();
    for (output, format) in outputs {
        unwritten.extend(output.finish(&format(&report)).err());
    }
    let printed = print(table::text(&report, terminal_columns()));
    let mut status = ExitCode::SUCCESS;
    for failure in unwritten {
        status = failed(failure);
    }
    printed?;
    Ok(status)
}

fn note_debug_build() {
    if cfg!(debug_assertions) {
        print_error("note: the times of a debug build are not meaningful; use cargo run --release");
    }
}
