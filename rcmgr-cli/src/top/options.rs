//! The options on the command line.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use super::address::Address;

/// The options of `rcmgr top`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// URL of the live view, such as http://127.0.0.1:9500; http:// can be left out
    #[arg(value_name = "URL", value_parser = Address::parse)]
    pub address: Address,

    /// Time between two updates, such as 500ms or 5s; rates are of this time
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,

    /// Show only scopes whose name contains this text, ignoring case
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    #[arg(value_parser = search)]
    pub search: String,

    /// Order of the scopes
    #[arg(long, value_name = "ORDER", value_enum, default_value_t = Sort::Utilisation)]
    #[arg(ignore_case = true)]
    pub sort: Sort,

    /// Print the state as plain text after one interval and exit; this is the default if the output
    /// is not a terminal
    #[arg(long)]
    pub once: bool,
}

/// The order of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Highest utilisation of a limit first
    Utilisation,
    /// Most memory first
    Memory,
    /// Most streams first
    Streams,
    /// Most connections first
    Conns,
    /// Most refusals first
    Refusals,
    /// By name
    Name,
}

impl Sort {
    /// The name: on the command line, in the query and on the screen.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Utilisation => "utilisation",
            Self::Memory => "memory",
            Self::Streams => "streams",
            Self::Conns => "conns",
            Self::Refusals => "refusals",
            Self::Name => "name",
        }
    }

    /// The next order; after the last one the first.
    pub const fn next(self) -> Self {
        match self {
            Self::Utilisation => Self::Memory,
            Self::Memory => Self::Streams,
            Self::Streams => Self::Conns,
            Self::Conns => Self::Refusals,
            Self::Refusals => Self::Name,
            Self::Name => Self::Utilisation,
        }
    }
}

/// The longest search text, in bytes.
pub const LONGEST_SEARCH: usize = 200;

fn search(text: &str) -> Result<String, String> {
    match text.len() {
        ..=LONGEST_SEARCH => Ok(text.to_owned()),
        _ => Err(format!("longer than {LONGEST_SEARCH} bytes")),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let bad = || "expected a time from 100ms to 1h, such as 500ms, 2s or 1m".to_owned();
    let time: SignedDuration = text.parse().map_err(|_| bad())?;
    let time = Duration::try_from(time).map_err(|_| bad())?;
    match time.as_millis() {
        100..=3_600_000 => Ok(time),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_neither_too_short_nor_too_long() {
        for (text, millis) in [("100ms", 100), ("1s", 1000), ("1h", 3_600_000)] {
            assert_eq!(interval(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "0s", "99ms", "-1s", "2h", "soon", "1"] {
            assert!(interval(text).unwrap_err().contains("such as"), "{text}");
        }
    }

    #[test]
    fn the_orders_form_a_cycle() {
        let mut sort = Sort::Utilisation;
        for expected in Sort::value_variants() {
            assert_eq!(sort, *expected);
            assert_eq!(
                sort.argument(),
                sort.to_possible_value().unwrap().get_name()
            );
            sort = sort.next();
        }
        assert_eq!(sort, Sort::Utilisation);
    }
}
