//! The tables of limits in the library.

use std::fmt::{self, Display, Formatter};

use clap::ValueEnum;
use rcmgr_config::ScalingLimits;

/// A table of the library.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The table of go-libp2p: services and protocols have streams, but no connections
    #[default]
    Default,
    /// For plain servers: services have connections, too
    Server,
}

impl Preset {
    pub fn table(self) -> ScalingLimits {
        match self {
            Self::Default => ScalingLimits::default(),
            Self::Server => ScalingLimits::server(),
        }
    }
}

impl Display for Preset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Server => "server",
        })
    }
}
