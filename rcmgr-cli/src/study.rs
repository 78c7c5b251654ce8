//! `rcmgr study`: measures the engine on one thread and under contention, beside others.

mod options;
mod progress;
mod table;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use rcmgr_study::{Machine, Report, StudyError, study};

pub use options::Options;

use crate::files::{Output, OutputError};
use progress::Shown;

/// The errors that end the command.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("{} is used for more than one report", .0.display())]
    SameFile(PathBuf),
    #[error(transparent)]
    Study(#[from] StudyError),
}

/// Runs the study. The exit status is 0 if everything was measured and written, 1 if not.
pub fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rcmgr: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: &Options) -> Result<(), Failure> {
    // Find unwritable files before the long study.
    let mut outputs = Vec::new();
    for (at, (path, format)) in options.outputs().enumerate() {
        if options.outputs().take(at).any(|(other, _)| other == path) {
            return Err(Failure::SameFile(path.to_owned()));
        }
        outputs.push((Output::begin(path)?, format));
    }
    eprintln!("{}", Machine::detect().describe());
    if cfg!(debug_assertions) {
        eprintln!("note: the times of a debug build are not meaningful; use cargo run --release");
    }
    let measured = options.measured();
    let mut shown = Shown::new();
    let report = study(&measured, &mut |progress| shown.show(&progress));
    drop(shown);
    let report = report?;
    for (output, format) in outputs {
        output.finish(&format(&report))?;
    }
    print(&report);
    Ok(())
}

/// If the reader of stdout exits early, that is not an error.
fn print(report: &Report) {
    if let Err(error) = io::stdout().write_all(table::text(report).as_bytes())
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("rcmgr: {error}");
    }
}
