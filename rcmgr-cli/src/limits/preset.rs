//! The tables of limits in the library.

use std::fmt::{self, Display, Formatter};

use clap::ValueEnum;
use rcmgr_config::ScalingLimits;

/// A table of the library.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// For plain servers: services have connections, too
    #[default]
    Server,
    /// The table of go-libp2p: services and protocols have streams, but no connections
    #[value(alias = "default")]
    Libp2p,
}

impl Preset {
    pub fn table(self) -> ScalingLimits {
        match self {
            Self::Server => ScalingLimits::server(),
            Self::Libp2p => ScalingLimits::default(),
        }
    }
}

/// As on the command line.
impl Display for Preset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Libp2p => "libp2p",
        })
    }
}
