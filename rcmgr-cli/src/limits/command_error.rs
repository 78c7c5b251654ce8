//! The errors that end a command without a result.

use std::io;

use rcmgr_atomic::BadConfiguration;

/// An error that ends a command without a result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Configuration(#[from] BadConfiguration),
    #[error("rcmgr: cannot write the output: {0}")]
    Output(#[from] io::Error),
}
