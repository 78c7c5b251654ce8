//! The options on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};

use super::limit_args::LimitSettings;

/// The options of the demo.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Time of the flood in seconds: half of it without the manager, half of it with the manager
    ///
    /// The demo takes longer by the time to connect the honest clients, about a second, and by the
    /// runs without and with `rcmgr guard`, which take a tenth of this time each and three seconds.
    /// Without flooding addresses, there is only a run with the manager.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=3600))]
    pub seconds: u64,

    /// Number of connections that the honest clients hold
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u64).range(1..=100_000))]
    pub connections: u64,

    /// Number of addresses of honest clients; 16 by default, or one for each connection if there
    /// are fewer
    #[arg(long, value_name = "ADDRESSES", value_parser = value_parser!(u8).range(1..=250))]
    pub honest: Option<u8>,

    /// Number of addresses that flood the server
    #[arg(long, value_name = "ADDRESSES", default_value_t = 4)]
    #[arg(value_parser = value_parser!(u8).range(0..=250))]
    pub flooding: u8,

    /// A limits file, .json or .toml, to apply over the limits of the demo
    #[arg(long, value_name = "FILE")]
    pub limits_file: Option<PathBuf>,

    /// Limits to apply over those of the demo and the file, such as
    /// System.Conns=1500,PeerDefault.Memory=4MiB,Conn.Memory=unlimited; can be repeated
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

    /// Address of the live view for a browser, such as localhost:9000; with port 0 the system
    /// chooses one. Everyone who can connect to it can watch
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", value_parser = host_port)]
    http: String,

    /// Do not serve the live view
    #[arg(long, conflicts_with = "http")]
    no_http: bool,
}

impl Options {
    /// The time of the flood in each run.
    pub fn length_of_a_run(&self) -> Duration {
        let runs = if self.flooding == 0 { 1 } else { 2 };
        Duration::from_secs(self.seconds) / runs
    }

    /// The time in which the honest clients of the server with few slots come, in each run.
    pub fn length_of_visits(&self) -> Duration {
        Duration::from_secs(self.seconds) / 10
    }

    /// The address of the live view, if it is served.
    pub fn http(&self) -> Option<&str> {
        (!self.no_http).then_some(&self.http)
    }
}

/// A host, by address or name, and a port. The name is resolved when the view is served.
fn host_port(text: &str) -> Result<String, &'static str> {
    let is_valid = match text.rsplit_once(':') {
        // An IPv6 address needs brackets: without them, its last part would be the port.
        Some((host, _)) if host.contains(':') => text.parse::<SocketAddr>().is_ok(),
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok(),
        None => false,
    };
    match is_valid {
        true => Ok(text.to_owned()),
        false => Err("expected HOST:PORT, such as localhost:9000, 127.0.0.1:0 or [::1]:9000"),
    }
}
