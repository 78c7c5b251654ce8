//! The file of the proxy: listeners and backends beside the limits, in one TOML file.

mod guard;
mod keys;
mod listen;
mod reader;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rcmgr_config::reload::LimitsWatcher;
use rcmgr_config::{LimitsFile, LimitsFileErrors};
use rcmgr_core::{BadConfiguration, Limits};
use toml::de::DeTable;

use crate::limits::limits;
use crate::values::backend_arrives_at;
use crate::{Descriptors, Settings};
use guard::Guard;
use listen::Listener;
use reader::{Field, Lines, Reader};

/// The tables of the proxy. All other top-level keys are those of the limits.
const LISTEN: &str = "listen";
const GUARD: &str = "guard";

/// A file of the proxy: its settings and its limits.
///
/// The limits are in the tables of [`PartialLimits::from_toml`](rcmgr_config::PartialLimits::from_toml). A scope or field that the file does
/// not set has no limit. The tables of the proxy are:
///
/// | key | value | default |
/// | --- | --- | --- |
/// | `[[listen]]` | a table for each listener; at least one | |
/// | - `on` | the IP address and port that it listens on | |
/// | - `to` | a backend, `"HOST:PORT"`, or a list of them | |
/// | - `service` | the service whose limits apply | `"guard"` |
/// | - `proxy-protocol` | `{ accept-from = [NETWORKS], send = "v1" or "v2" }` | no header either way |
/// | - `queue` | `{ most = NUMBER, longest = DURATION }` | no queue |
/// | - `timeouts` | `{ connect, header, first-byte, idle, half-closed }`, each a duration | [`Timeouts`](crate::Timeouts) |
/// | - `timeouts.near-limit` | `{ from = "90%", first-byte, idle, half-closed }`: shorter ones while [near a limit](crate::NearLimit) | no shorter ones; `from` is `"90%"` |
/// | - `on-refusal` | `"close"`, `"reset"` or `{ reply = "TEXT" }` | `"close"` |
/// | - `splice` | whether the kernel moves the bytes where it can; Linux only | `false` |
/// | `[guard]` | a table for the whole proxy | |
/// | - `workers` | the number of threads | 1 |
/// | - `own-descriptors` | whether each worker has its own table of file descriptors; Linux only | `false` |
/// | - `drain` | how long connections may go on after the first signal to end | `"30s"` |
/// | - `over-limit` | `"keep"` or `"shed-idle"`: connections that are over a lowered limit | `"keep"` |
/// | - `view` | the address of the live view | no view |
/// | - `dry-run` | whether the limits are evaluated and not enforced | `false` |
///
/// ```
/// use rcmgr_guard::GuardFile;
///
/// let file = GuardFile::from_toml(r#"
///     [[listen]]
///     on = "0.0.0.0:5432"
///     to = ["10.0.0.2:5432", "10.0.0.3:5432"]
///     service = "postgres"
///     queue = { most = 200, longest = "2s" }
///     timeouts = { connect = "5s", idle = "1h", half-closed = "30s" }
///
///     [Service.postgres]
///     ConnsInbound = 500
///     [Addresses.Subnets]
///     "IPv4/32" = 20
/// "#)?;
/// assert_eq!(file.settings.listeners[0].to.len(), 2);
///
/// let bad = GuardFile::from_toml("[[listen]]\non = '0.0.0.0:5432'\nto = '10.0.0.2'\n");
/// assert_eq!(
///     bad.unwrap_err().to_string(),
///     "line 3: listen.to: no port: write \"10.0.0.2:PORT\"",
/// );
/// # Ok::<(), rcmgr_config::LimitsFileErrors>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardFile {
    /// The settings.
    pub settings: Settings,
    /// The address of the live view, if it is served.
    pub view: Option<SocketAddr>,
    /// Whether the limits are evaluated and not enforced.
    pub dry_run: bool,
    /// The limits that the file sets, with their lines.
    pub limits: LimitsFile,
}

impl GuardFile {
    /// Reads a TOML file of at most 4 MiB.
    ///
    /// # Errors
    ///
    /// All mistakes of the file, each with its line.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, LimitsFileErrors> {
        let path = path.as_ref();
        let text = LimitsFile::text(path)?;
        Self::from_text_of(path, &text)
    }

    /// Parses a text that was read from the file `path` before.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_text_of(path: &Path, text: &str) -> Result<Self, LimitsFileErrors> {
        let mut file = Self::from_toml(text).map_err(|errors| errors.of_file(path))?;
        file.limits.path = Some(PathBuf::from(path));
        Ok(file)
    }

    /// Parses a text.
    ///
    /// # Errors
    ///
    /// All its mistakes, each with its line.
    pub fn from_toml(text: &str) -> Result<Self, LimitsFileErrors> {
        // Some editors start a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let limits = LimitsFile::from_toml_beside(text, &[LISTEN, GUARD]);
        let (document, errors) = DeTable::parse_recoverable(text);
        // After a duplicate key the other keys are still right. After another mistake the parser
        // only guesses, and the reader of the limits has reported the mistake.
        let is_readable = errors
            .iter()
            .all(|error| error.message() == "duplicate key");
        if let (false, Err(errors)) = (is_readable, &limits) {
            return Err(errors.clone());
        }
        let lines = Lines::of(text);
        let mut reader = Reader::new(&lines);
        let root = document.get_ref();
        let guard = Guard::read(&mut reader, reader::get(root, "", GUARD, &lines));
        let listeners = listeners(&mut reader, reader::get(root, "", LISTEN, &lines));
        check(&mut reader, &listeners, &guard);
        if let (Ok(limits), Some(line)) = (&limits, guard.dry_run_line)
            && limits.limits.dry_run.is_some()
        {
            let reason = "a dry run enforces no limits, and the table DryRun has other ones: \
                          remove this key or the table";
            reader.add_at(line, "guard.dry-run", reason.into());
        }

        let mut mistakes = reader.mistakes;
        if let Err(errors) = &limits {
            mistakes.extend(errors.iter().cloned());
        }
        if let Some(errors) = LimitsFileErrors::new(mistakes) {
            return Err(errors);
        }
        let listeners = listeners.into_iter();
        Ok(Self {
            settings: Settings {
                listeners: listeners.map(|listener| listener.listen).collect(),
                workers: guard.workers,
                overflow: guard.overflow,
                drain: guard.drain,
            },
            view: guard.view,
            dry_run: guard.dry_run_line.is_some(),
            limits: limits?,
        })
    }

    /// The limits to run with.
    pub fn limits(&self) -> Limits {
        limits(&self.limits.limits, self.dry_run)
    }

    /// The limits to run with, lowered to what these file descriptors allow.
    pub fn limits_within(&self, descriptors: Descriptors) -> Limits {
        let mut limits = self.limits();
        descriptors.clamp(&mut limits);
        limits
    }

    /// Reads the file at `path` and applies it, then follows the file: each time that it has
    /// changed, `apply` gets the settings and the limits together. A file that is bad or half
    /// written changes nothing, and is reported once.
    ///
    /// ```no_run
    /// use rcmgr_guard::GuardFile;
    ///
    /// # let manager = rcmgr_atomic::Manager::new(rcmgr_core::Limits::unlimited())?;
    /// let watcher = GuardFile::follow("guard.toml", move |file| {
    ///     manager.set_limits(file.limits());
    ///     println!("{} listeners", file.settings.listeners.len());
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`LimitsWatcher::start`]; nothing was applied if the file is bad.
    pub fn follow(
        path: impl AsRef<Path>,
        apply: impl Fn(Self) + Send + 'static,
    ) -> rcmgr_core::Result<LimitsWatcher> {
        Self::follow_with(LimitsWatcher::builder(), path, apply)
    }

    /// As [`follow`](Self::follow), with other times.
    ///
    /// # Errors
    ///
    /// As [`follow`](Self::follow).
    pub fn follow_with(
        builder: rcmgr_config::reload::Builder,
        path: impl AsRef<Path>,
        apply: impl Fn(Self) + Send + 'static,
    ) -> rcmgr_core::Result<LimitsWatcher> {
        let load = |text: &str, path: &Path| Self::from_text_of(path, text);
        builder.start_with_settings(path, load, apply)
    }
}

fn listeners(reader: &mut Reader<'_>, field: Option<Field<'_, '_>>) -> Vec<Listener> {
    let Some(field) = field else {
        reader.mistakes.push(BadConfiguration {
            field: LISTEN.into(),
            reason: "no table [[listen]]: nothing is guarded".into(),
            ..BadConfiguration::default()
        });
        return Vec::new();
    };
    let Some(tables) = field.value.as_array() else {
        let reason = format!("expected tables [[listen]], found {}", field.kind());
        reader.add(&field, reason);
        return Vec::new();
    };
    if tables.is_empty() {
        reader.add(&field, "empty: nothing is guarded".into());
    }
    let tables = reader.elements(&field, tables);
    let listeners = tables.iter().map(|table| Listener::read(reader, table));
    listeners
        .collect::<Vec<_>>()
        .into_iter()
        .flatten()
        .collect()
}

/// Finds addresses with two listeners, and backends that are listeners of the file.
fn check(reader: &mut Reader<'_>, listeners: &[Listener], guard: &Guard) {
    let mut lines = HashMap::new();
    for listener in listeners {
        let on = listener.listen.on;
        // With port 0 each listener gets a port of its own.
        if on.port() == 0 {
            continue;
        }
        let address = (on.ip().to_canonical(), on.port());
        if let Some(line) = lines.insert(address, listener.on_line) {
            let reason = format!("{on} has a listener already, on line {line}");
            reader.add_at(listener.on_line, "listen.on", reason);
        }
    }
    if let (Some(view), Some(line)) = (guard.view, guard.view_line)
        && let Some(on_line) = lines.get(&(view.ip().to_canonical(), view.port()))
    {
        let reason = format!("{view} has a listener already, on line {on_line}");
        reader.add_at(line, "guard.view", reason);
    }
    for listener in listeners {
        for (backend, line) in listener.listen.to.iter().zip(&listener.to_lines) {
            let own = listeners.iter();
            let mut own = own.filter(|own| backend_arrives_at(backend, own.listen.on));
            if let Some(own) = own.next() {
                let reason = format!(
                    "{backend} is a listener of this file, on line {}: the proxy would connect to \
                     itself",
                    own.on_line
                );
                reader.add_at(*line, "listen.to", reason);
            }
        }
    }
}
