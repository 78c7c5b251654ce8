//! The syntax of a limits file, chosen by its name.

use std::ffi::OsStr;
use std::path::Path;

use rcmgr_core::BadConfiguration;

use super::text::file_error;

/// The syntax of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
}

impl Format {
    /// The syntax of a file with this name.
    pub(super) fn of(path: &Path) -> Result<Self, BadConfiguration> {
        match path.extension().and_then(OsStr::to_str) {
            Some("json") => Ok(Self::Json),
            Some("toml") => Ok(Self::Toml),
            _ => Err(file_error(
                "the name ends neither in .json nor in .toml".into(),
            )),
        }
    }

    /// The name of a group of keys, for errors.
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Json => "an object",
            Self::Toml => "a table",
        }
    }
}
