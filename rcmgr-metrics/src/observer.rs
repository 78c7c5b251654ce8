//! The observer: a manager and the options of its output.

use std::fmt;
use std::sync::Arc;

use rcmgr_atomic::Manager;
use rcmgr_config::LimitsFile;
use rcmgr_config::reload::LimitsWatcher;

use crate::program::{Program, ProgramCounter};
#[cfg(feature = "sink")]
use crate::trace::TraceCounters;

/// Reads a manager on request, and only then: observing a manager does not slow down reservations.
///
/// The output is bounded, also if remotes invent many peers and protocols: no peer has its own
/// series, and only a limited number of protocols and services has.
///
/// ```
/// use rcmgr_atomic::{Manager, Limits};
/// use rcmgr_metrics::Observer;
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let observer = Observer::new(manager).name("echo server").most_names(20);
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Observer {
    pub(crate) manager: Manager,
    pub(crate) watcher: Option<Arc<LimitsWatcher>>,
    #[cfg(feature = "sink")]
    pub(crate) trace: Option<TraceCounters>,
    pub(crate) most_names: usize,
    pub(crate) file: FileInForce,
    pub(crate) program: Option<Program>,
    pub(crate) name: Arc<str>,
    /// The hosts that the live view answers to, in addition to loopback.
    #[cfg(feature = "http")]
    pub(crate) hosts: Vec<String>,
    #[cfg(feature = "http")]
    pub(crate) since: std::time::Instant,
}

impl Observer {
    /// An observer that shows at most 100 protocols and 100 services by name.
    pub fn new(manager: Manager) -> Self {
        Self {
            manager,
            watcher: None,
            #[cfg(feature = "sink")]
            trace: None,
            most_names: 100,
            file: FileInForce::Unknown,
            program: None,
            name: program().into(),
            #[cfg(feature = "http")]
            hosts: Vec::new(),
            #[cfg(feature = "http")]
            since: std::time::Instant::now(),
        }
    }

    /// Sets the name of the server, which the live view shows. By default it is the name of the
    /// program's file. The live view counts the server's uptime from [`new`](Self::new).
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The live view also answers to this host name or address, with any port; `*` stands for all.
    /// Without it, the view answers to `localhost` and loopback addresses only: see
    /// [`http`](crate::http#hosts).
    #[cfg(feature = "http")]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Tells the file that the limits were read from, so that the live view shows the line of each
    /// limit. A [watcher](Self::watcher) knows its file by itself.
    pub fn limits_file(mut self, file: LimitsFile) -> Self {
        self.file = FileInForce::Read(Arc::new(file));
        self
    }

    /// Calls `read` for the file that the limits in force were read from, so that the live view shows
    /// the line of each limit. Use it beside a [watcher](Self::watcher) if the file has the settings
    /// of the program beside the limits.
    pub fn limits_file_in_force(
        mut self,
        read: impl Fn() -> Arc<LimitsFile> + Send + Sync + 'static,
    ) -> Self {
        self.file = FileInForce::Asked(Arc::new(read));
        self
    }

    /// Also shows the counters that `read` returns: those of the program itself. `label` is the name
    /// of the label that tells its parts apart, such as `listener`. In the live view, they are in
    /// `program`.
    pub fn program(
        mut self,
        label: &'static str,
        read: impl Fn() -> Vec<ProgramCounter> + Send + Sync + 'static,
    ) -> Self {
        self.program = Some(Program::new(label, read));
        self
    }

    /// Sets the number of protocols, and of services, that metrics show by name: those with the
    /// most streams and connections, then those with the most memory. The others are summed up
    /// under the name `other`.
    pub fn most_names(mut self, most: usize) -> Self {
        self.most_names = most;
        self
    }

    /// Also shows the number of reloads of the limits file, and its state in the live view. The file is watched at least as long as
    /// the observer exists.
    pub fn watcher(mut self, watcher: Arc<LimitsWatcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Also shows the number of operations that a [sink](crate::trace::TraceSink) has written, and
    /// the number that it dropped.
    #[cfg(feature = "sink")]
    pub fn trace(mut self, counters: TraceCounters) -> Self {
        self.trace = Some(counters);
        self
    }
}

/// The file that the limits in force come from.
#[derive(Clone)]
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "only the live view shows it")
)]
pub(crate) enum FileInForce {
    /// Only a watcher may know it.
    Unknown,
    /// It was read once.
    Read(Arc<LimitsFile>),
    /// The program knows it.
    Asked(Arc<dyn Fn() -> Arc<LimitsFile> + Send + Sync>),
}

impl fmt::Debug for FileInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Read(_) => "Read",
            Self::Asked(_) => "Asked",
        })
    }
}

/// The name of the program's file, without the extension.
fn program() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(std::path::Path::file_stem);
    name.map_or_else(|| "rcmgr".to_owned(), |name| name.to_string_lossy().into())
}
