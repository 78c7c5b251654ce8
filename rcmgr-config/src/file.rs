//! Limits files: go-libp2p's JSON, and TOML with the same names.
//!
//! Both syntaxes are parsed into the same small tree with line numbers. One interpreter turns the
//! tree into limits, so that both have the same rules and errors.

mod address_lists;
mod addresses;
mod foreign;
mod format;
mod interpret;
mod interpreted;
mod json;
mod mistakes;
mod names;
mod output;
mod rate;
mod syntax;
pub(crate) mod text;
mod toml;
mod tree;
mod value;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rcmgr_core::{BadConfiguration, LimitsKey, Resource};

use crate::{AddressKey, PartialLimits, Setting};
use text::{LARGEST, read_text, too_long};

pub use format::FileFormat;
pub use mistakes::LimitsFileErrors;
pub use names::nearest;

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
    /// The line of `Waiters`, if it sets the number of requests that may wait.
    pub waiters_line: Option<usize>,
    /// The line of each limit by address that it sets.
    pub address_lines: BTreeMap<AddressKey, usize>,
    /// The line of each field that its dry run sets.
    pub dry_run_lines: BTreeMap<(LimitsKey, Resource), usize>,
    /// The line of each limit by address that its dry run sets.
    pub dry_run_address_lines: BTreeMap<AddressKey, usize>,
}

impl LimitsFile {
    /// Reads a file; its name ends in `.json` or `.toml`. A file whose name has no ending is read
    /// as JSON if it is a JSON object, like kubo's `config`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is longer than 4 MiB or is not UTF-8, or for the reasons listed
    /// at [`PartialLimits::from_toml`]. The error names the file. If the file has several mistakes,
    /// it is the first; [`read_with_all_errors`](Self::read_with_all_errors) returns all.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, BadConfiguration> {
        Self::read_with_all_errors(path).map_err(BadConfiguration::from)
    }

    /// As [`read`](Self::read), but reports all mistakes of the file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). A file that is not JSON or TOML has only this one mistake.
    pub fn read_with_all_errors(path: impl AsRef<Path>) -> Result<Self, LimitsFileErrors> {
        let path = path.as_ref();
        let read = FileFormat::of_name(path)
            .and_then(|format| Ok((read_text(path)?, format)))
            .map_err(LimitsFileErrors::from)
            .and_then(|(text, format)| Self::from_named(&text, format));
        Self::of_file(path, read)
    }

    /// Parses a text that was read from the file `path` before. The file's name decides the format,
    /// as in [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_text_of(path: impl AsRef<Path>, text: &str) -> Result<Self, BadConfiguration> {
        Self::from_text_of_with_all_errors(path, text).map_err(BadConfiguration::from)
    }

    /// As [`from_text_of`](Self::from_text_of), but reports all mistakes of the text.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_text_of_with_all_errors(
        path: impl AsRef<Path>,
        text: &str,
    ) -> Result<Self, LimitsFileErrors> {
        let path = path.as_ref();
        let read = FileFormat::of_name(path).map_err(LimitsFileErrors::from);
        let read = read.and_then(|format| Self::from_named(text, format));
        Self::of_file(path, read)
    }

    /// Parses the text of a file whose name decides the format, or else its text.
    fn from_named(text: &str, format: Option<FileFormat>) -> Result<Self, LimitsFileErrors> {
        let format = format.map_or_else(|| FileFormat::of_text(text), Ok)?;
        if text.trim().is_empty() && format == FileFormat::Json {
            return Err(text::file_error(
                "the file is empty; for a file without limits write {}".into(),
            )
            .into());
        }
        Self::from_text_with_all_errors(text, format)
    }

    fn of_file(
        path: &Path,
        read: Result<Self, LimitsFileErrors>,
    ) -> Result<Self, LimitsFileErrors> {
        match read {
            Ok(file) => Ok(Self {
                path: Some(path.to_owned()),
                ..file
            }),
            Err(errors) => Err(errors.of_file(path)),
        }
    }

    /// Parses JSON.
    ///
    /// # Errors
    ///
    /// See [`PartialLimits::from_json`].
    pub fn from_json(text: &str) -> Result<Self, BadConfiguration> {
        Ok(Self::from_text_with_all_errors(text, FileFormat::Json)?)
    }

    /// Parses TOML.
    ///
    /// # Errors
    ///
    /// See [`PartialLimits::from_toml`].
    pub fn from_toml(text: &str) -> Result<Self, BadConfiguration> {
        Ok(Self::from_text_with_all_errors(text, FileFormat::Toml)?)
    }

    /// Parses a text, and reports all its mistakes.
    ///
    /// # Errors
    ///
    /// As [`PartialLimits::from_toml`].
    pub fn from_text_with_all_errors(
        text: &str,
        format: FileFormat,
    ) -> Result<Self, LimitsFileErrors> {
        if text.len() as u64 > LARGEST {
            return Err(too_long().into());
        }
        // Some editors start a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (root, mistakes) = match format {
            FileFormat::Json => json::parse(text)?,
            FileFormat::Toml => toml::parse(text)?,
        };
        Self::interpreted(&root, format, &[], mistakes)
    }

    /// Parses the text of a TOML file that has the tables of a program beside those of the limits.
    /// `others` are the top-level keys of the program. They are skipped, but an error about an
    /// unknown key suggests them too.
    ///
    /// ```
    /// use rcmgr_config::LimitsFile;
    ///
    /// let text = "[server]\nport = 80\n[System]\nConns = 64\n";
    /// let file = LimitsFile::from_toml_beside(text, &["server"])?;
    /// assert_eq!(file.lines.values().collect::<Vec<_>>(), [&4]);
    /// # Ok::<(), rcmgr_config::LimitsFileErrors>(())
    /// ```
    ///
    /// # Errors
    ///
    /// All mistakes, for the reasons listed at [`PartialLimits::from_toml`].
    pub fn from_toml_beside(text: &str, others: &[&str]) -> Result<Self, LimitsFileErrors> {
        if text.len() as u64 > LARGEST {
            return Err(too_long().into());
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (mut root, mistakes) = toml::parse(text)?;
        root.retain(|entry| !others.contains(&entry.name.as_ref()));
        Self::interpreted(&root, FileFormat::Toml, others, mistakes)
    }

    /// Reads the text of a regular file of at most 4 MiB, as [`read`](Self::read) does.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is longer than 4 MiB or is not UTF-8. The error names the file.
    pub fn text(path: impl AsRef<Path>) -> Result<String, BadConfiguration> {
        let path = path.as_ref();
        read_text(path).map_err(|bad| BadConfiguration {
            file: Some(path.to_owned()),
            ..bad
        })
    }

    fn interpreted(
        root: &[tree::Entry<'_>],
        format: FileFormat,
        others: &[&str],
        mistakes: mistakes::Mistakes,
    ) -> Result<Self, LimitsFileErrors> {
        let interpreted = interpret::interpret(root, format, others, mistakes)?;
        Ok(Self {
            path: None,
            limits: interpreted.limits,
            lines: interpreted.lines,
            waiters_line: interpreted.waiters_line,
            address_lines: interpreted.address_lines,
            dry_run_lines: interpreted.dry_run_lines,
            dry_run_address_lines: interpreted.dry_run_address_lines,
        })
    }

    /// The line, from 1, that sets a field; `None` if the file does not set it.
    pub fn line(&self, key: &LimitsKey, resource: Resource) -> Option<usize> {
        self.lines.get(&(key.clone(), resource)).copied()
    }

    /// The line, from 1, that sets what a [`Warning`](crate::Warning) is about; `None` if the file
    /// does not set it. For the dry run it is its first line.
    pub fn line_of(&self, setting: &Setting) -> Option<usize> {
        match setting {
            Setting::Field(field) => self.line(&field.key, field.resource),
            Setting::Address(key) => self.address_line(key),
            Setting::DryRun => {
                let addresses = self.dry_run_address_lines.values();
                self.dry_run_lines.values().chain(addresses).min().copied()
            }
        }
    }

    /// As [`line_of`](Self::line_of), in the file's dry run.
    pub fn dry_run_line_of(&self, setting: &Setting) -> Option<usize> {
        match setting {
            Setting::Field(field) => {
                let field = (field.key.clone(), field.resource);
                self.dry_run_lines.get(&field).copied()
            }
            Setting::Address(key) => self.dry_run_address_lines.get(key).copied(),
            Setting::DryRun => None,
        }
    }

    /// The line, from 1, that sets a limit by address; `None` if the file does not set it.
    pub fn address_line(&self, key: &AddressKey) -> Option<usize> {
        self.address_lines.get(key).copied()
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
    /// | keys | fields |
    /// | --- | --- |
    /// | `System`, `Transient`, `AllowlistedSystem`, `AllowlistedTransient`, `Conn`, `Stream`, `ServiceDefault`, `ServicePeerDefault`, `ProtocolDefault`, `ProtocolPeerDefault`, `PeerDefault` | `Streams`, `StreamsInbound`, `StreamsOutbound`, `Conns`, `ConnsInbound`, `ConnsOutbound`, `FD`, `Memory` |
    /// | `Service`, `ServicePeer`, `Protocol`, `ProtocolPeer`, `Peer` | a table for each name, protocol id or peer id |
    /// | `Addresses` | `Trusted`, `Allowlist`, `NAT64`, `ReferenceDefaults`, and the tables `Subnets`, `Networks`, `Rates` |
    /// | `Waiters` | no table, but a number at the top of the file: how many requests may wait for room in a scope, for each of its resources |
    /// | `DryRun` | the same tables again: limits that are evaluated and not enforced |
    ///
    /// A field, and `Waiters`, is a whole number, which may also be a string; `"unlimited"`; `"blockAll"` or 0,
    /// which grants nothing; or `"default"`, which is the same as omitting the field. `Memory` is
    /// in bytes, and may have a unit, as in `"512 MiB"` (see [`ByteSize`](crate::ByteSize)). A
    /// whole number may have a fraction or an exponent, as in `1.073741824e+09`. The names and rules
    /// of scopes are go-libp2p's, with two differences: go-libp2p has no units, and it ignores
    /// unknown keys.
    ///
    /// In `Subnets` the keys are sizes such as `"IPv4/32"` and the values numbers of connections; in
    /// `Networks` the keys are networks. `Rates` has both, and `Global`; the values are tables with
    /// `PerSecond` and `Burst`. All these values may also be the words above. A file replaces each
    /// [list](crate::AddressList) as a whole. A list is emptied with `[]`, or with `"unlimited"` for
    /// `Subnets`, `Networks` or `Rates`, or for `IPv4`, `IPv6`, `Global` and `Networks` within them.
    ///
    /// `SystemLimit` is another name for `System`, which an early version of the BNB Greenfield
    /// storage provider used. A file may contain only one of the two. The limits may also be in
    /// `Swarm.ResourceMgr.Limits`, as in a configuration of kubo. An empty TOML text sets nothing;
    /// the JSON equivalent is `{}`.
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
    /// If the text is not TOML, is longer than 4 MiB, has an unknown key, has a key twice or an
    /// invalid value, or has a peer id that is empty or too long. The error names the line and the
    /// field.
    pub fn from_toml(text: &str) -> Result<Self, BadConfiguration> {
        LimitsFile::from_toml(text).map(|file| file.limits)
    }
}
