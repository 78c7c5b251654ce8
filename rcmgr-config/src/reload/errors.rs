//! Errors that name the followed file.

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

/// Adds the file to an error that does not name one.
pub(super) fn with_file(mut error: Error, path: &Path) -> Error {
    if let Error::BadConfiguration(bad) = &mut error
        && bad.file.is_none()
    {
        bad.file = Some(path.to_owned());
    }
    error
}
