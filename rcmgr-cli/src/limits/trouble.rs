//! Why a command gives no answer.

use std::io;

use rcmgr_atomic::BadConfiguration;

/// What keeps a command from giving an answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Configuration(#[from] BadConfiguration),
    #[error("rcmgr: can't write the output: {0}")]
    Output(#[from] io::Error),
}
