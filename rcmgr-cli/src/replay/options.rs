//! The options on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rcmgr_metrics::replay::HEADROOM;

use crate::limits::defaults::DefaultsOptions;

/// The options of `rcmgr replay`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Files of one trace, the oldest first
    #[arg(value_name = "TRACE", required = true)]
    pub traces: Vec<PathBuf>,

    /// Number of scopes to show besides system and transient: those with the most refusals
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    #[arg(value_parser = top)]
    pub top: usize,

    /// Print the whole report as JSON
    #[arg(long)]
    pub json: bool,

    /// Write a self-contained web page with plots of usage and refusals over time
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Replay under the limits of a file, .json or .toml; if two set the same field, the later one
    /// wins
    ///
    /// Limits that no file sets are taken from the defaults, as in `rcmgr limits`. To replay under
    /// the defaults alone, give one of their options.
    #[arg(long, value_name = "FILE")]
    pub limits: Vec<PathBuf>,

    /// Print a limits file that would have granted everything in the trace
    ///
    /// A class of scopes gets the highest need of any of its scopes, times the headroom, rounded
    /// up. Resources that were never used are left to the defaults. If peers' ids are IP addresses,
    /// connections of an address and its subnets are limited, too.
    #[arg(long, value_name = "FORMAT", value_enum, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "toml")]
    #[arg(conflicts_with_all = ["json", "html", "limits", "top", "preset", "memory", "fds", "budget"])]
    pub suggest: Option<Format>,

    /// The factor between the need and the suggested limit
    ///
    /// A trace rarely contains the highest load. But limits far above the highest need give little
    /// protection.
    #[arg(long, value_name = "FACTOR", default_value_t = HEADROOM, value_parser = headroom)]
    #[arg(requires = "suggest")]
    #[arg(conflicts_with_all = ["json", "html", "limits", "top", "preset", "memory", "fds", "budget"])]
    pub headroom: f64,

    #[command(flatten)]
    pub defaults: DefaultsOptions,
}

/// A format of limits files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With comments
    Toml,
    /// The format of go-libp2p
    Json,
}

impl Options {
    /// Whether to replay under other limits.
    pub fn asks_limits(&self) -> bool {
        !self.limits.is_empty() || self.defaults.are_given()
    }
}

fn top(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(top @ ..=1000) => Ok(top),
        _ => Err("expected a whole number up to 1000".to_owned()),
    }
}

fn headroom(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(headroom) if (1.0..=1000.0).contains(&headroom) => Ok(headroom),
        _ => Err("expected a number from 1 to 1000, such as 1.5".to_owned()),
    }
}
