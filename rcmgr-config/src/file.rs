//! Limits files: go-libp2p's JSON, and TOML with the same names.
//!
//! Both syntaxes are parsed into the same small tree with line numbers. One interpreter turns the
//! tree into limits, so that both have the same rules and errors.

mod format;
mod interpret;
mod json;
pub(crate) mod text;
mod toml;
mod tree;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rcmgr_core::{BadConfiguration, LimitsKey, Resource};

use crate::PartialLimits;
use format::Format;
use text::{LARGEST, read_text, too_long};

/// The limits that a file sets, with the line of each.
///
/// [`PartialLimits::from_toml`] describes the format.
///
/// ```
/// use rcmgr_config::LimitsFile;
/// use rcmgr_core::{LimitsKey, Resource};
///
/// let file = LimitsFile::from_toml("[System]\nMemory = '512 MiB'\n")?;
/// assert_eq!(file.line(&LimitsKey::System, Resource::Memory), Some(2));
/// assert_eq!(file.line(&LimitsKey::System, Resource::Fd), None);
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsFile {
    /// The file; `None` if the limits were read from a text.
    pub path: Option<PathBuf>,
    /// The limits that it sets.
    pub limits: PartialLimits,
    /// The line, from 1, of each field that it sets. A field with the value `default` sets nothing.
    pub lines: BTreeMap<(LimitsKey, Resource), usize>,
}

impl LimitsFile {
    /// Reads a file; its name ends in `.json` or `.toml`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is longer than 4 MiB or is not UTF-8, or for the reasons listed
    /// at [`PartialLimits::from_toml`]. The error names the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, BadConfiguration> {
        let path = path.as_ref();
        let read = Format::of(path).and_then(|format| Self::from_text(&read_text(path)?, format));
        Self::of_file(path, read)
    }

    /// Parses a text that was read from the file `path` before. The file's name ends in `.json` or
    /// `.toml`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_text_of(path: impl AsRef<Path>, text: &str) -> Result<Self, BadConfiguration> {
        let path = path.as_ref();
        let read = Format::of(path).and_then(|format| Self::from_text(text, format));
        Self::of_file(path, read)
    }

    fn of_file(
        path: &Path,
        read: Result<Self, BadConfiguration>,
    ) -> Result<Self, BadConfiguration> {
        let path = Some(path.to_owned());
        match read {
            Ok(file) => Ok(Self { path, ..file }),
            Err(bad) => Err(BadConfiguration { file: path, ..bad }),
        }
    }

    /// Parses JSON.
    ///
    /// # Errors
    ///
    /// See [`PartialLimits::from_json`].
    pub fn from_json(text: &str) -> Result<Self, BadConfiguration> {
        Self::from_text(text, Format::Json)
    }

    /// Parses TOML.
    ///
    /// # Errors
    ///
    /// See [`PartialLimits::from_toml`].
    pub fn from_toml(text: &str) -> Result<Self, BadConfiguration> {
        Self::from_text(text, Format::Toml)
    }

    fn from_text(text: &str, format: Format) -> Result<Self, BadConfiguration> {
        if text.len() as u64 > LARGEST {
            return Err(too_long());
        }
        // Some editors start a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = match format {
            Format::Json => json::parse(text)?,
            Format::Toml => toml::parse(text)?,
        };
        let (limits, lines) = interpret::interpret(&root, format)?;
        Ok(Self {
            path: None,
            limits,
            lines,
        })
    }

    /// The line, from 1, that sets a field; `None` if the file does not set it.
    pub fn line(&self, key: &LimitsKey, resource: Resource) -> Option<usize> {
        self.lines.get(&(key.clone(), resource)).copied()
    }
}

impl PartialLimits {
    /// Reads a file; its name ends in `.json` or `.toml`. [`LimitsFile::read`] also returns the
    /// line of each field.
    ///
    /// # Errors
    ///
    /// See [`LimitsFile::read`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, BadConfiguration> {
        LimitsFile::read(path).map(|file| file.limits)
    }

    /// Parses JSON as go-libp2p writes it, with the rules of [`from_toml`](Self::from_toml).
    ///
    /// ```
    /// use rcmgr_config::PartialLimits;
    /// use rcmgr_core::LimitValue;
    ///
    /// let limits = PartialLimits::from_json(r#"{"System": {"Memory": "1073741824", "FD": 0}}"#)?;
    /// assert_eq!(limits.system.memory, Some(LimitValue::Limited(1 << 30)));
    /// assert_eq!(limits.system.fd, Some(LimitValue::BLOCK_ALL));
    /// # Ok::<(), rcmgr_core::BadConfiguration>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the text is not one JSON object, or for the reasons listed at
    /// [`from_toml`](Self::from_toml).
    pub fn from_json(text: &str) -> Result<Self, BadConfiguration> {
        LimitsFile::from_json(text).map(|file| file.limits)
    }

    /// Parses TOML. A file has a table for each scope that it sets, with any of eight fields:
    ///
    /// | tables | fields |
    /// | --- | --- |
    /// | `System`, `Transient`, `AllowlistedSystem`, `AllowlistedTransient`, `Conn`, `Stream`, `ServiceDefault`, `ServicePeerDefault`, `ProtocolDefault`, `ProtocolPeerDefault`, `PeerDefault` | `Streams`, `StreamsInbound`, `StreamsOutbound`, `Conns`, `ConnsInbound`, `ConnsOutbound`, `FD`, `Memory` |
    /// | `Service`, `ServicePeer`, `Protocol`, `ProtocolPeer`, `Peer` | a table for each name, protocol id or peer id |
    ///
    /// A field is a whole number, which may also be a string; `"unlimited"`; `"blockAll"` or 0,
    /// which grants nothing; or `"default"`, which is the same as omitting the field. `Memory` is
    /// in bytes, and may have a unit, as in `"512 MiB"` (see [`ByteSize`](crate::ByteSize)). The
    /// names and rules are go-libp2p's, with two differences: go-libp2p has no units, and it
    /// ignores unknown keys.
    ///
    /// `SystemLimit` is another name for `System`, which the BNB Greenfield storage provider uses.
    /// A file may contain only one of the two. An empty TOML text sets nothing; the JSON equivalent
    /// is `{}`.
    ///
    /// ```
    /// use rcmgr_config::PartialLimits;
    /// use rcmgr_core::{LimitValue, MIB};
    ///
    /// let limits = PartialLimits::from_toml("
    ///     [SystemLimit]
    ///     Memory = '512 MiB'
    ///     [Service.uploads]
    ///     Conns = 64
    /// ")?;
    /// assert_eq!(limits.system.memory, Some(LimitValue::Limited(512 * MIB)));
    /// assert_eq!(limits.service["uploads"].conns, Some(LimitValue::Limited(64)));
    ///
    /// let bad = PartialLimits::from_toml("[System]\nMemry = 1").unwrap_err();
    /// assert_eq!(bad.to_string(), "line 2: System.Memry: unknown key; did you mean \"Memory\"?");
    /// # Ok::<(), rcmgr_core::BadConfiguration>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it is not TOML, is longer than 4 MiB, has a key that is not one of these, the same key
    /// twice, a value that is not one of these, or a peer id that is empty or too long. The error
    /// names the line and the field.
    pub fn from_toml(text: &str) -> Result<Self, BadConfiguration> {
        LimitsFile::from_toml(text).map(|file| file.limits)
    }
}
