//! Errors that name the followed file, and all mistakes of one reading.

use std::fmt;
use std::path::Path;

use rcmgr_core::{BadConfiguration, Error};

use crate::LimitsFileErrors;

/// An error about the file.
pub(super) fn bad(path: &Path, reason: &dyn fmt::Display) -> Error {
    let bad = BadConfiguration {
        file: Some(path.to_owned()),
        reason: reason.to_string(),
        ..BadConfiguration::default()
    };
    bad.into()
}

/// Why a text was not applied.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// The other mistakes of the file.
    pub(super) others: Vec<BadConfiguration>,
    /// The number of mistakes that are only counted.
    pub(super) more: usize,
}

impl Failure {
    /// Adds the file to errors that do not name one.
    pub(super) fn with_file(mut self, path: &Path) -> Self {
        if let Error::BadConfiguration(bad) = &mut self.error
            && bad.file.is_none()
        {
            bad.file = Some(path.to_owned());
        }
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            others: Vec::new(),
            more: 0,
        }
    }
}

impl From<LimitsFileErrors> for Failure {
    fn from(errors: LimitsFileErrors) -> Self {
        Self {
            others: errors.iter().skip(1).cloned().collect(),
            more: errors.more(),
            error: errors.into(),
        }
    }
}
