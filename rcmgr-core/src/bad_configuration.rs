//! The error of a configuration: what is wrong, and where.

use std::fmt;
use std::path::PathBuf;

use crate::shown;

/// What is wrong with a configuration, and where.
///
/// The text shows the file and the field as with [`shown`]; the reason is shown as it is.
///
/// ```
/// use rcmgr_core::BadConfiguration;
///
/// let bad = BadConfiguration {
///     file: Some("limits.toml".into()),
///     line: Some(3),
///     field: "System.Memory".into(),
///     reason: "\"lots\" is not a number of bytes".into(),
/// };
/// assert_eq!(bad.to_string(), "limits.toml:3: System.Memory: \"lots\" is not a number of bytes");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadConfiguration {
    /// The file, if it came from one.
    pub file: Option<PathBuf>,
    /// The line, counted from 1, if known.
    pub line: Option<usize>,
    /// The path of the field, such as `Service.dht.Memory`; empty if the whole configuration is
    /// meant.
    pub field: String,
    /// The reason.
    pub reason: String,
}

impl std::error::Error for BadConfiguration {}

/// The number of characters of a file's path, and of a field, that are shown. A path has several
/// names, so this is more than for one name.
const MOST_CHARS: usize = 1000;

impl fmt::Display for BadConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_ref().map(|file| file.to_string_lossy());
        let file = file.as_deref().map(shown);
        match (file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file:.MOST_CHARS$}:{line}: ")?,
            (Some(file), None) => write!(f, "{file:.MOST_CHARS$}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if !self.field.is_empty() {
            write!(f, "{:.MOST_CHARS$}: ", shown(&self.field))?;
        }
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_and_the_field_are_escaped_and_cut() {
        let bad = BadConfiguration {
            file: Some("a\nb.toml".into()),
            line: Some(7),
            field: "\u{1b}[2J".to_owned() + &"x".repeat(1 << 20),
            reason: "it is wrong".into(),
        };
        let text = bad.to_string();
        assert!(text.starts_with(r"a\nb.toml:7: \u{1b}[2Jxxx"), "{text}");
        assert!(text.ends_with("x…: it is wrong"), "{text}");
        assert!(text.len() < 1100, "{}", text.len());
    }
}
