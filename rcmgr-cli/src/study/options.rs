//! The options on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use rcmgr_machine::Machine;
use rcmgr_study::{Report, Sharing, SimulationOptions, Workload, engines};

use super::simulated::{Chosen, Cores, machine};

/// The machine that is simulated without `--machine`.
const DEFAULT_MACHINE: &str = "one-socket";

/// The options of `rcmgr study`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Workloads to measure; all by default
    #[arg(long, value_name = "WORKLOAD,...", value_delimiter = ',')]
    #[arg(value_parser = names::<Workload>(Workload::ALL.iter().map(|one| one.as_str())))]
    pub workload: Vec<Workload>,

    /// Engines to measure; all by default
    #[arg(long, value_name = "ENGINE,...", value_delimiter = ',')]
    #[arg(value_parser = names::<String>(engines().iter().map(|engine| engine.name())))]
    pub engine: Vec<String>,

    /// Numbers of threads; by default 1, 2, 4 and so on, up to twice the number of cores
    #[arg(long, value_name = "THREADS,...", value_delimiter = ',')]
    #[arg(value_parser = value_parser!(u16).range(1..=1024))]
    pub threads: Vec<u16>,

    /// State that the threads share: none (a manager for each), system (a peer for each), or path
    /// (all scopes); all by default
    #[arg(long, value_name = "SHARING,...", value_delimiter = ',')]
    #[arg(value_parser = names::<Sharing>(Sharing::ALL.iter().map(|one| one.as_str())))]
    pub sharing: Vec<Sharing>,

    /// Number of measurements of each case; 7 by default, 5 with --quick. There are fewer if the
    /// time is over before
    #[arg(long, value_parser = value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,

    /// Approximate time of all measurements in seconds; 300 by default. The set-up takes up to half
    /// as much in addition. A busy machine gets twice this time and half a minute in all: then the
    /// study stops, with the results it has
    #[arg(long, value_parser = seconds)]
    pub seconds: Option<f64>,

    /// Largest number of live peers, measured in powers of ten from 10 on; 0 leaves this part out
    #[arg(long, value_parser = peers)]
    pub peers: Option<u32>,

    /// Measure everything in less than a minute, also on a busy machine, with less precision
    #[arg(long, conflicts_with = "seconds")]
    pub quick: bool,

    /// Simulate a machine with many cores in place of measuring this one: the numbers of cores, such
    /// as cores=1,2,8,64. About a second for each case
    #[arg(long, value_name = "cores=N,...")]
    #[arg(conflicts_with_all = ["threads", "rounds", "seconds", "peers", "quick"])]
    pub simulate: Option<Cores>,

    /// The simulated machine: two-core-vm, desktop, one-socket (the default), two-socket, or a file
    /// (.toml). Only with --simulate
    // Not `requires`: clap ignores it beside an option that --simulate conflicts with.
    #[arg(long, value_name = "NAME", value_parser = machine)]
    pub machine: Option<Chosen>,

    /// Measure each case on real threads, too, as far as this machine has the cores, and show the model
    /// beside reality. Meaningful for a machine from --calibrate. Only with --simulate
    #[arg(long)]
    pub beside_real: bool,

    /// The seed of the confidence intervals and of a simulation. The same seed and the same work give
    /// the same result
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Measure two cores of this machine, and print it as a file for --machine
    #[arg(long, exclusive = true)]
    pub calibrate: bool,

    /// Compare two runs, each written with --json: show the cases whose times differ by more than
    /// noise. The exit status is 0 if there are none, 1 if there are some, a file is wrong, or the runs
    /// share no case
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], exclusive = true)]
    pub compare: Vec<PathBuf>,

    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write all rows as comma-separated values
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Write the report as a self-contained web page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// A function that formats a report.
type Format = fn(&Report) -> String;

impl Options {
    /// The option that has no effect without `--simulate`, if there is one.
    pub fn only_simulated(&self) -> Option<&'static str> {
        match self {
            Self {
                simulate: Some(_), ..
            } => None,
            Self {
                machine: Some(_), ..
            } => Some("--machine"),
            Self {
                beside_real: true, ..
            } => Some("--beside-real"),
            _ => None,
        }
    }

    /// The files to write, with their formats.
    pub fn outputs(&self) -> impl Iterator<Item = (&Path, Format)> {
        let formats: [(_, Format); 3] = [
            (&self.json, Report::to_json),
            (&self.csv, Report::to_csv),
            (&self.html, Report::to_html),
        ];
        let chosen = formats.into_iter();
        chosen.filter_map(|(path, format)| Some((path.as_deref()?, format)))
    }

    /// The file that the machine was read from.
    pub fn machine_file(&self) -> Option<&Path> {
        self.machine.as_ref()?.file.as_deref()
    }

    /// The options of a simulation for the library.
    pub fn simulated(&self, cores: &Cores) -> SimulationOptions {
        let machine = self.machine.as_ref().map_or_else(
            || Machine::shipped(DEFAULT_MACHINE).expect("it is shipped"),
            |chosen| chosen.machine.clone(),
        );
        let mut options = SimulationOptions::new(machine, cores.0.clone());
        replace(&mut options.workloads, &self.workload);
        replace(&mut options.engines, &self.engine);
        replace(&mut options.sharings, &self.sharing);
        options.beside_real = self.beside_real;
        options.seed = self.seed;
        options
    }

    /// The options for the library.
    pub fn measured(&self) -> rcmgr_study::Options {
        let mut options = match self.quick {
            true => rcmgr_study::Options::quick(),
            false => rcmgr_study::Options::full(),
        };
        let threads: Vec<_> = self.threads.iter().map(|&threads| threads.into()).collect();
        replace(&mut options.workloads, &self.workload);
        replace(&mut options.engines, &self.engine);
        replace(&mut options.threads, &threads);
        replace(&mut options.sharings, &self.sharing);
        options.rounds = self.rounds.map_or(options.rounds, |rounds| rounds as usize);
        options.seconds = self.seconds.unwrap_or(options.seconds);
        if !self.quick {
            let busy = 2.0 * options.seconds + 30.0;
            options.at_most = Some(Duration::from_secs_f64(busy));
        }
        options.seed = self.seed;
        options.peers = self.peers.map_or(options.peers, |peers| peers as usize);
        options
    }
}

/// Replaces the list by the chosen values, without duplicates, if there are any.
fn replace<T: Clone + PartialEq>(all: &mut Vec<T>, chosen: &[T]) {
    if !chosen.is_empty() {
        all.clear();
        for one in chosen {
            if !all.contains(one) {
                all.push(one.clone());
            }
        }
    }
}

/// A parser that accepts exactly these names.
fn names<T>(names: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    let known: Vec<_> = names.collect();
    PossibleValuesParser::new(known).try_map(|name| name.parse())
}

fn peers(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(peers @ (0 | 10..=10_000_000)) => Ok(peers),
        _ => Err("expected 0, or a whole number from 10 to 10000000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds from 0.001 to 86400".to_owned()),
    }
}
