//! What can be chosen on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use rcmgr_study::{Report, Sharing, Workload, engines};

/// What can be chosen about the study.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What to do again and again; all workloads if nothing is said
    #[arg(long, value_name = "WORKLOAD,...", value_delimiter = ',')]
    #[arg(value_parser = names::<Workload>(Workload::ALL.iter().map(|one| one.as_str())))]
    pub workload: Vec<Workload>,

    /// What to do it with; all engines if nothing is said
    #[arg(long, value_name = "ENGINE,...", value_delimiter = ',')]
    #[arg(value_parser = names::<String>(engines().iter().map(|engine| engine.name())))]
    pub engine: Vec<String>,

    /// Numbers of threads; 1, 2, 4 and so on up to twice the cores if nothing is said
    #[arg(long, value_name = "THREADS,...", value_delimiter = ',')]
    #[arg(value_parser = value_parser!(u16).range(1..=1024))]
    pub threads: Vec<u16>,

    /// What the threads have in common: none is a manager for each, system is own peers under one
    /// system, path is everything; all of these if nothing is said
    #[arg(long, value_name = "SHARING,...", value_delimiter = ',')]
    #[arg(value_parser = names::<Sharing>(Sharing::ALL.iter().map(|one| one.as_str())))]
    pub sharing: Vec<Sharing>,

    /// How often each case is measured; 7 if nothing is said, 3 with --quick
    #[arg(long, value_parser = value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,

    /// About how long to measure all together, in seconds; 300 if nothing is said. Setting up comes
    /// on top, with half as much at most
    #[arg(long, value_parser = seconds)]
    pub seconds: Option<f64>,

    /// Up to how many live peers to go, from 10 in powers of ten; 0 leaves that part out
    #[arg(long, value_parser = value_parser!(u32).range(0..=10_000_000))]
    pub peers: Option<u32>,

    /// A first look, which ends in less than a minute
    #[arg(long, conflicts_with = "seconds")]
    pub quick: bool,

    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write all rows as comma-separated values
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Write the report as a web page with plots, which needs no other file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// How a report is written.
type Format = fn(&Report) -> String;

impl Options {
    /// The files to be written, and how.
    pub fn outputs(&self) -> impl Iterator<Item = (&Path, Format)> {
        let formats: [(_, Format); 3] = [
            (&self.json, Report::to_json),
            (&self.csv, Report::to_csv),
            (&self.html, Report::to_html),
        ];
        let chosen = formats.into_iter();
        chosen.filter_map(|(path, format)| Some((path.as_deref()?, format)))
    }

    /// What is to be measured.
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
        options.peers = self.peers.map_or(options.peers, |peers| peers as usize);
        options
    }
}

/// What was chosen, if something was, each once.
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

/// Takes these names and no others.
fn names<T>(names: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    let known: Vec<_> = names.collect();
    PossibleValuesParser::new(known).try_map(|name| name.parse())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("it is a number of seconds, from 0.001 to a day's 86400".to_owned()),
    }
}
