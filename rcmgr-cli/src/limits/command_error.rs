//! The errors that end a command without a result.

use std::io;

use rcmgr_config::LimitsFileErrors;

/// An error that ends a command without a result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    File(#[from] LimitsFileErrors),
    #[error("rcmgr: cannot write the output: {0}")]
    Output(#[from] io::Error),
}
