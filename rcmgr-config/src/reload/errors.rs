//! Errors that name the file that is followed.

use std::fmt;
use std::path::Path;

use rcmgr_core::{BadConfiguration, Error};

/// An error about the file.
pub(super) fn bad(path: &Path, reason: &dyn fmt::Display) -> Error {
    let bad = BadConfiguration {
        file: Some(path.to_owned()),
        reason: reason.to_string(),
        ..BadConfiguration::default()
    };
    bad.into()
}

/// Names the file where a loader didn't.
pub(super) fn with_file(mut error: Error, path: &Path) -> Error {
    if let Error::BadConfiguration(bad) = &mut error
        && bad.file.is_none()
    {
        bad.file = Some(path.to_owned());
    }
    error
}
