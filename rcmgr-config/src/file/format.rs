//! The syntax of a limits file, chosen by its name.

use std::ffi::OsStr;
use std::path::Path;

use rcmgr_core::BadConfiguration;

use super::text::file_error;

const UNKNOWN: &str = "the name ends neither in .json nor in .toml";

/// The syntax of a limits file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// JSON, as go-libp2p reads and writes it.
    Json,
    /// TOML, with the same names.
    Toml,
}

impl FileFormat {
    /// The syntax of a file with this name; `None` if the name has no ending.
    pub(super) fn of_name(path: &Path) -> Result<Option<Self>, BadConfiguration> {
        match path.extension().map(OsStr::to_str) {
            Some(Some("json")) => Ok(Some(Self::Json)),
            Some(Some("toml")) => Ok(Some(Self::Toml)),
            None => Ok(None),
            Some(_) => Err(file_error(UNKNOWN.into())),
        }
    }

    /// The syntax of the text of a file whose name has no ending: only JSON can be recognized.
    pub(super) fn of_text(text: &str) -> Result<Self, BadConfiguration> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match text.trim_start().starts_with('{') {
            true => Ok(Self::Json),
            false => Err(file_error(UNKNOWN.into())),
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
