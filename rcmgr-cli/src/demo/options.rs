//! What can be chosen on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, value_parser};
use rcmgr_atomic::BadConfiguration;
use rcmgr_config::LimitsFile;

use crate::limit_args::LimitSettings;

/// What can be chosen about the demo.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How long clients come, in seconds; up to 15 are enough for a run that ends in a minute
    /// whatever happens
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=3600))]
    pub seconds: u64,

    /// How many connections the honest clients hold at once
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u64).range(1..=100_000))]
    pub connections: u64,

    /// How many addresses the honest clients come from
    #[arg(long, value_name = "ADDRESSES", default_value_t = 16)]
    #[arg(value_parser = value_parser!(u8).range(1..=250))]
    pub honest: u8,

    /// How many addresses flood the server
    #[arg(long, value_name = "ADDRESSES", default_value_t = 4)]
    #[arg(value_parser = value_parser!(u8).range(0..=250))]
    pub flooding: u8,

    /// A file of limits, .json or .toml, to use over the demo's own
    #[arg(long, value_name = "FILE", value_parser = read)]
    pub limits_file: Option<Box<LimitsFile>>,

    /// Limits other than the demo's own and the file's, such as
    /// system.conns=1500,peer.memory=4MiB,conn.memory=unlimited; may be given more than once
    #[arg(long, value_name = "SCOPE.FIELD=VALUE,...")]
    pub limits: Vec<LimitSettings>,

    /// Connect from 127.0.0.1 only and let clients say which address they stand for, as is done
    /// anyway where loopback has no other address
    #[arg(long)]
    pub one_address: bool,

    /// Write a trace of all that the manager is asked, for `rcmgr replay`; a file that is there is
    /// written over
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Where a browser finds the live view while the demo runs; with port 0 the system chooses
    /// one. Whoever can connect there can watch
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    http: SocketAddr,

    /// Serve no live view
    #[arg(long, conflicts_with = "http")]
    no_http: bool,
}

impl Options {
    /// Where to serve the live view, if anywhere.
    pub fn http(&self) -> Option<SocketAddr> {
        (!self.no_http).then_some(self.http)
    }
}

/// A file is read together with the arguments: if it is bad, so are they.
fn read(path: &str) -> Result<Box<LimitsFile>, BadConfiguration> {
    LimitsFile::read(path).map(Box::new)
}
