//! The arguments of the proxy: a file, or a listener with its backends and limits.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, value_parser};
use rcmgr_atomic::BadConfiguration;
use rcmgr_config::{LimitsFile, LimitsFileErrors};
use rcmgr_guard::{
    GuardFile, Listen, OnRefusal, Overflow, ProxyProtocol, Settings, Timeouts, Workers, values,
};

use crate::output::{print_error, wrong_use};

/// The options that take the place of a file.
const INSTEAD_OF_FILE: [&str; 9] = [
    "listen",
    "to",
    "service",
    "limits",
    "dry_run",
    "workers",
    "own_descriptors",
    "drain",
    "view",
];

/// Where the settings and the limits come from.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// A TOML file with the listeners, the settings and the limits of the proxy
    #[arg(value_name = "FILE", required_unless_present = "listen")]
    #[arg(conflicts_with_all = INSTEAD_OF_FILE)]
    file: Option<PathBuf>,

    /// Without FILE: the IP address and port to listen on, such as 0.0.0.0:5432 or [::]:5432
    #[arg(long, value_name = "ADDRESS", requires_all = ["to", "limits"])]
    #[arg(value_parser = values::listen_address)]
    listen: Option<SocketAddr>,

    /// The backends, which take turns: such as 10.0.0.2:5432,db.internal:5432
    #[arg(
        long,
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        requires = "listen"
    )]
    #[arg(value_parser = values::backend)]
    to: Vec<Arc<str>>,

    /// The service whose limits apply; `guard` by default
    #[arg(long, value_name = "NAME", requires = "listen", value_parser = values::service)]
    service: Option<Arc<str>>,

    /// A limits file, .json or .toml; what it does not set has no limit
    #[arg(long, value_name = "FILE", requires = "listen")]
    limits: Option<PathBuf>,

    /// Evaluate the limits and enforce none: what they would have refused is counted and logged
    #[arg(long, requires = "listen")]
    dry_run: bool,

    /// Number of threads; 1 by default
    #[arg(long, value_name = "NUMBER", requires = "listen")]
    #[arg(value_parser = value_parser!(u64).range(1..=Workers::MOST as u64))]
    workers: Option<u64>,

    /// Give each worker its own table of file descriptors; Linux only
    #[arg(long, requires = "workers")]
    own_descriptors: bool,

    /// How long connections may go on after the first signal to end, such as 30s; 30s by default
    #[arg(long, value_name = "DURATION", requires = "listen", value_parser = values::duration)]
    drain: Option<Duration>,

    /// Address of the live view for a browser, such as 127.0.0.1:8080. Everyone who can connect to
    /// it can watch
    #[arg(long, value_name = "ADDRESS", requires = "listen", value_parser = values::listen_address)]
    view: Option<SocketAddr>,
}

/// Why there are no settings.
#[derive(Debug)]
enum WrongSource {
    /// The arguments do not fit together.
    Arguments(String),
    /// A file is wrong.
    File(LimitsFileErrors),
}

impl Source {
    /// The settings and limits; or prints the errors, and returns the exit status.
    pub fn read_or_report(&self) -> Result<GuardFile, ExitCode> {
        self.read().map_err(|wrong| match wrong {
            WrongSource::Arguments(reason) => wrong_use(reason),
            WrongSource::File(errors) => {
                print_error(errors);
                ExitCode::FAILURE
            }
        })
    }

    fn read(&self) -> Result<GuardFile, WrongSource> {
        let path = self.path();
        let text = LimitsFile::text(path).map_err(|bad| WrongSource::File(bad.into()))?;
        if text.trim().is_empty() {
            // The file is followed, and an empty one would be taken for one that is not written yet.
            let reason = "it is empty; a file without limits needs a comment, such as # no limits";
            return Err(WrongSource::File(mistake(reason.into(), path)));
        }
        self.try_load(&text, path)
    }

    /// The file that has the settings and limits, or the limits alone.
    pub fn path(&self) -> &Path {
        // The parser of the arguments requires one or the other.
        let path = self.file.as_deref().or(self.limits.as_deref());
        path.unwrap_or(Path::new(""))
    }

    /// The settings and limits with another text of the file, which was read from `path`.
    ///
    /// # Errors
    ///
    /// All mistakes of the text.
    pub fn load(&self, text: &str, path: &Path) -> Result<GuardFile, LimitsFileErrors> {
        self.try_load(text, path).map_err(|wrong| match wrong {
            WrongSource::File(errors) => errors,
            WrongSource::Arguments(reason) => mistake(reason, path),
        })
    }

    fn try_load(&self, text: &str, path: &Path) -> Result<GuardFile, WrongSource> {
        let Some(on) = self.listen else {
            return GuardFile::from_text_of(path, text).map_err(WrongSource::File);
        };
        let settings = self.settings(on).map_err(WrongSource::Arguments)?;
        let limits = LimitsFile::from_text_of_with_all_errors(path, text);
        let limits = limits.map_err(WrongSource::File)?;
        if self.dry_run && limits.limits.dry_run.is_some() {
            let reason = "--dry-run enforces no limits, and the table DryRun of the limits file \
                          has other ones: remove the option or the table";
            return Err(WrongSource::Arguments(reason.into()));
        }
        Ok(GuardFile {
            settings,
            view: self.view,
            dry_run: self.dry_run,
            limits,
        })
    }

    /// The settings of a single listener.
    fn settings(&self, on: SocketAddr) -> Result<Settings, String> {
        let count = self.workers.unwrap_or(1);
        if self.own_descriptors && count == 1 {
            return Err("--own-descriptors has no effect with one worker".into());
        }
        if self.own_descriptors && !cfg!(target_os = "linux") {
            return Err("--own-descriptors: only Linux has it".into());
        }
        for (at, backend) in self.to.iter().enumerate() {
            if self.to[..at].contains(backend) {
                return Err(format!("--to {backend} is given twice"));
            }
            if values::backend_arrives_at(backend, on) {
                return Err(format!(
                    "--to {backend} is the listener {on}: the proxy would connect to itself"
                ));
            }
        }
        if self.view == Some(on) && on.port() != 0 {
            return Err(format!("--view {on} is the address of the listener"));
        }
        Ok(Settings {
            listeners: vec![Listen {
                on,
                to: self.to.clone(),
                service: self
                    .service
                    .clone()
                    .unwrap_or_else(|| Listen::SERVICE.into()),
                proxy_protocol: ProxyProtocol::default(),
                queue: None,
                timeouts: Timeouts::default(),
                on_refusal: OnRefusal::default(),
                splice: false,
            }],
            workers: Workers {
                // The parser of the arguments bounds it.
                count: usize::try_from(count).unwrap_or(Workers::MOST),
                own_descriptors: self.own_descriptors,
            },
            overflow: Overflow::default(),
            drain: self.drain.unwrap_or(Settings::DRAIN),
        })
    }
}

/// A mistake of a file as a whole.
fn mistake(reason: String, path: &Path) -> LimitsFileErrors {
    let bad = BadConfiguration {
        reason,
        ..BadConfiguration::default()
    };
    LimitsFileErrors::from(bad).of_file(path)
}
