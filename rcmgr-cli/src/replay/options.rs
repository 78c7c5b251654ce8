//! What can be chosen on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rcmgr_metrics::replay::HEADROOM;

use crate::limits::defaults::DefaultsOptions;

/// What can be chosen about a replay.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Files of one trace, the oldest first
    #[arg(value_name = "TRACE", required = true)]
    pub traces: Vec<PathBuf>,

    /// How many scopes to show, apart from system and transient: those that refused most
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    #[arg(value_parser = top)]
    pub top: usize,

    /// Print all of it as JSON
    #[arg(long)]
    pub json: bool,

    /// Write a web page with plots of usage and refusals over time, which needs no other file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Ask again under the limits of a file, .json or .toml; of two that set the same field, the
    /// later one counts
    ///
    /// What no file sets is taken from the defaults, as `rcmgr limits` does. To find out about the
    /// defaults alone, give one of the options for them.
    #[arg(long, value_name = "FILE")]
    pub limits: Vec<PathBuf>,

    /// Print a file of limits under which all of the trace would have been granted
    ///
    /// A class of scopes gets what the one of them needed that needed most, times the headroom, and
    /// rounded up. What was never used is left out, and so to the defaults.
    #[arg(long, value_name = "FORMAT", value_enum, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "toml", conflicts_with_all = ["json", "html", "limits"])]
    pub suggest: Option<Format>,

    /// Suggest so many times what was needed
    ///
    /// By default half as much again: a trace rarely has the worst of its kind, and limits much
    /// higher than what was ever needed protect from little.
    #[arg(long, value_name = "FACTOR", default_value_t = HEADROOM, value_parser = headroom)]
    pub headroom: f64,

    #[command(flatten)]
    pub defaults: DefaultsOptions,
}

/// A format of files of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With comments
    Toml,
    /// As go-libp2p has it
    Json,
}

impl Options {
    /// Whether other limits are to be asked.
    pub fn asks_limits(&self) -> bool {
        !self.limits.is_empty() || self.defaults.are_given()
    }
}

fn top(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(top @ ..=1000) => Ok(top),
        _ => Err("it is a whole number, up to 1000".to_owned()),
    }
}

fn headroom(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(headroom) if (1.0..=1000.0).contains(&headroom) => Ok(headroom),
        _ => Err("it is a number from 1 to 1000, such as 1.5".to_owned()),
    }
}
