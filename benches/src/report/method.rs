//! The method of a run: what a repetition needs beside the machine.

use std::env;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::date::date_and_time;

/// The method.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// The version of rcmgr.
    pub version: String,
    /// The compiler, as it describes itself.
    pub rustc: String,
    /// The target that the program is compiled for.
    pub target: String,
    /// The compiler flags of the build that are not Cargo's defaults.
    pub rustflags: String,
    /// Whether it is a debug build, whose times mean little.
    pub debug_build: bool,
    /// The crates that the engines use, with their versions. Empty in a build from a package, which has no
    /// lock file.
    pub crates: Vec<String>,
    /// The arguments of the program, without its name.
    pub arguments: Vec<String>,
    /// The start time, in seconds since 1970.
    pub unix_time: u64,
    /// The start time as text, in UTC.
    pub date: String,
    /// The seed of the confidence intervals and of a simulation.
    pub seed: u64,
    /// The number of rounds that was requested; 1 in a simulation.
    pub rounds: usize,
    /// The time of one measurement, in seconds; less if the time was short.
    pub slice_seconds: f64,
    /// The operations of each simulated core in the measured part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated_operations: Option<u64>,
    /// The time of the whole study, in seconds.
    pub took_seconds: f64,
    /// The time to read the clock, in nanoseconds. All measured latencies include it.
    pub clock_ns: u64,
}

impl Method {
    /// The method of a run that begins now. What is known at its end is zero.
    pub fn begin(seed: u64) -> Self {
        let unix_time = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |time| time.as_secs());
        let arguments = env::args_os().skip(1);
        let crates = env!("STUDY_CRATES").split(',');
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rustc: env!("STUDY_RUSTC").to_owned(),
            target: env!("STUDY_TARGET").to_owned(),
            rustflags: env!("STUDY_FLAGS").to_owned(),
            debug_build: cfg!(debug_assertions),
            crates: crates
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            arguments: arguments
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
            unix_time,
            date: date_and_time(unix_time),
            seed,
            ..Self::default()
        }
    }

    /// The build as one line of text.
    pub fn describe_build(&self) -> String {
        let mut text = format!("{} for {}", self.rustc, self.target);
        if !self.rustflags.is_empty() {
            text += &format!(" with {}", self.rustflags);
        }
        if self.debug_build {
            text += ", a debug build";
        }
        if !self.crates.is_empty() {
            text += &format!("; {}", self.crates.join(", "));
        }
        text
    }
}
