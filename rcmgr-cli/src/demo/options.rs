//! The options on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, value_parser};
use rcmgr_atomic::BadConfiguration;
use rcmgr_config::LimitsFile;

use crate::limit_args::LimitSettings;

/// The options of the demo.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Time that the clients run, in seconds; with up to 15, the demo always ends within a minute
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=3600))]
    pub seconds: u64,

    /// Number of connections that the honest clients hold
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u64).range(1..=100_000))]
    pub connections: u64,

    /// Number of addresses of honest clients
    #[arg(long, value_name = "ADDRESSES", default_value_t = 16)]
    #[arg(value_parser = value_parser!(u8).range(1..=250))]
    pub honest: u8,

    /// Number of addresses that flood the server
    #[arg(long, value_name = "ADDRESSES", default_value_t = 4)]
    #[arg(value_parser = value_parser!(u8).range(0..=250))]
    pub flooding: u8,

    /// A limits file, .json or .toml, to apply over the limits of the demo
    #[arg(long, value_name = "FILE", value_parser = read)]
    pub limits_file: Option<Box<LimitsFile>>,

    /// Limits to apply over those of the demo and the file, such as
    /// system.conns=1500,peer.memory=4MiB,conn.memory=unlimited; can be repeated
    #[arg(long, value_name = "SCOPE.FIELD=VALUE,...")]
    pub limits: Vec<LimitSettings>,

    /// Connect only from 127.0.0.1, and let clients send the address that they represent; this is
    /// the default where loopback has no other address
    #[arg(long)]
    pub one_address: bool,

    /// Write a trace of all requests to the manager, for `rcmgr replay`; an existing file is
    /// overwritten
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Address of the live view for a browser; with port 0 the system chooses one. Everyone who can
    /// connect to it can watch
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    http: SocketAddr,

    /// Do not serve the live view
    #[arg(long, conflicts_with = "http")]
    no_http: bool,
}

impl Options {
    /// The address of the live view, if it is served.
    pub fn http(&self) -> Option<SocketAddr> {
        (!self.no_http).then_some(self.http)
    }
}

/// Reads the file while the arguments are parsed: an invalid file is an invalid argument.
fn read(path: &str) -> Result<Box<LimitsFile>, BadConfiguration> {
    LimitsFile::read(path).map(Box::new)
}
