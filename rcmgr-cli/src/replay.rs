//! `rcmgr replay`: summarizes a trace, and replays it under other limits.

mod options;
mod progress;
mod suggested;
mod table;

use std::io;
use std::process::ExitCode;

use rcmgr_config::{LimitsFileErrors, Machine};
use rcmgr_metrics::replay::{Options as Wanted, ReplayLimits, replay};
use rcmgr_metrics::trace::TraceError;

pub use options::Options;

use crate::files::{Output, OutputError};
use crate::limits::amount::printable;
use crate::limits::configuration::Configuration;
use crate::output::{print, print_error};
use progress::Shown;

/// The errors that end the command.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Limits(#[from] LimitsFileErrors),
    #[error("rcmgr: {0}")]
    File(#[from] OutputError),
    #[error("rcmgr: cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// The number of points of usage over time.
const POINTS: usize = 120;

/// Runs the command. The exit status is 0 if everything was read and written, 1 if not.
pub fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_error(failure);
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: &Options) -> Result<(), Failure> {
    // Find unreadable limits and unwritable files before the long replay.
    let defaults = options.defaults.on(&Machine::detect());
    let configuration = match options.asks_limits() {
        true => Some(Configuration::read(&defaults, &options.limits)?),
        false => None,
    };
    let page = options.html.as_deref().map(Output::begin).transpose()?;
    let asked = |configuration: &Configuration<'_>| {
        ReplayLimits::Configured(Box::new(configuration.limits.clone()))
    };
    let wanted = Wanted {
        top: options.top,
        points: if options.json || page.is_some() {
            POINTS
        } else {
            0
        },
        what_if: configuration.as_ref().map(asked),
    };
    let shown = Shown::new();
    let report = replay(&options.traces, &wanted, &mut |progress| {
        shown.show(progress)
    });
    drop(shown);
    let report = report?;
    if let Some(page) = page {
        page.finish(&report.to_html())?;
    }
    print(match (options.suggest, options.json) {
        (Some(format), _) => suggested::text(&report, options.headroom, format),
        (None, true) => report.to_json(),
        (None, false) => {
            let limits = configuration.map(|configuration| configuration.description());
            table::text(&report, limits.as_deref())
        }
    })?;
    for note in report.read.lines() {
        print_error(format_args!("note: {}", printable(&note)));
    }
    if options.suggest.is_some() && report.scopes.is_empty() {
        print_error("note: the trace has no requests, so there is nothing to suggest");
    }
    Ok(())
}
