//! The proxy with the settings and limits in force. A changed file replaces both together.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcmgr_atomic::{BadConfiguration, Manager};
use rcmgr_config::reload::LimitsWatcher;
use rcmgr_config::{LimitsFile, LimitsFileErrors};
use rcmgr_guard::{Counts, Descriptors, GuardFile, Listen, Server, Settings, Workers};

use super::source::Source;
use super::start::{Start, listening};
use crate::output::print_error;

/// A running proxy.
#[derive(Debug)]
pub struct InForce {
    server: Server,
    /// The file descriptors that a table may have.
    in_a_table: u64,
    /// The workers that run: a change of the file does not change them.
    workers: Workers,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: GuardFile,
    /// The limits of the file, shared with the view.
    limits: Arc<LimitsFile>,
    /// Whether the proxy ends. Then a changed file has no effect.
    is_ending: bool,
}

impl InForce {
    /// A server that runs with the settings and limits of this file.
    pub fn new(server: Server, file: GuardFile, in_a_table: u64) -> Self {
        Self {
            server,
            in_a_table,
            workers: file.settings.workers,
            state: Mutex::new(State {
                limits: Arc::new(file.limits.clone()),
                file,
                is_ending: false,
            }),
        }
    }

    pub const fn server(&self) -> &Server {
        &self.server
    }

    pub fn manager(&self) -> &Manager {
        self.server.manager()
    }

    /// Follows the file of the settings and limits, or of the limits alone.
    pub fn follow(self: &Arc<Self>, source: Source) -> rcmgr_atomic::Result<Arc<LimitsWatcher>> {
        let proxy = Arc::clone(self);
        let path = source.path().to_owned();
        // The file is bad also if a listener cannot be opened. So all is done in the first function,
        // whose errors the watcher reports, and nothing is left for the second.
        let load = move |text: &str, path: &Path| proxy.replace(source.load(text, path)?, path);
        let watcher = LimitsWatcher::builder().start_with_settings(path, load, |()| ())?;
        Ok(Arc::new(watcher))
    }

    /// Replaces the file in force, all or nothing.
    fn replace(&self, mut new: GuardFile, path: &Path) -> Result<(), LimitsFileErrors> {
        let mut state = self.lock();
        // The watcher has made the path absolute.
        new.limits.path.clone_from(&state.file.limits.path);
        if state.is_ending || state.file == new {
            return Ok(());
        }
        let before = self.server.addresses();
        let applied = self.server.apply(new.settings.clone());
        applied.map_err(|error| not_listening(&error, path))?;
        // Only the listeners can fail.
        let running = Settings {
            workers: self.workers,
            ..new.settings.clone()
        };
        let descriptors = Descriptors::of(&running, self.in_a_table);
        self.manager().set_limits(new.limits_within(descriptors));
        let warnings = Start::new(&new, descriptors).warnings();
        warnings.iter().for_each(print_error);
        state.limits = Arc::new(new.limits.clone());
        let old = std::mem::replace(&mut state.file, new);
        self.log_change(&old, &before, &state.file);
        Ok(())
    }

    /// Logs the difference between two files.
    fn log_change(&self, old: &GuardFile, before: &[SocketAddr], new: &GuardFile) {
        if old.view != new.view {
            tracing::warn!("the live view stays as it is: a change of its address needs a restart");
        }
        let now = self.server.addresses();
        for address in before.iter().filter(|address| !now.contains(address)) {
            tracing::info!("{address}: no new connections are accepted");
        }
        for (listen, address) in new.settings.listeners.iter().zip(&now) {
            let same = |old: &Listen| {
                Listen {
                    on: old.on,
                    ..listen.clone()
                } == *old
            };
            let at = before.iter().position(|before| before == address);
            let old = at.and_then(|at| old.settings.listeners.get(at));
            if !old.is_some_and(same) {
                tracing::info!("{}", listening(listen, *address));
            }
        }
        if old.dry_run != new.dry_run {
            let enforced = match new.dry_run {
                true => "dry run: no limit is enforced",
                false => "the dry run is over: the limits are enforced",
            };
            tracing::info!("{enforced}");
        }
    }

    /// Ignores the file from now on. Returns how long connections may go on.
    pub fn begin_end(&self) -> Duration {
        let mut state = self.lock();
        state.is_ending = true;
        state.file.settings.drain
    }

    /// The limits in force with the lines of their file.
    pub fn limits_file(&self) -> Arc<LimitsFile> {
        Arc::clone(&self.lock().limits)
    }

    /// The counters of each listener.
    pub fn counts(&self) -> Vec<(SocketAddr, Counts)> {
        // With the lock, no reload comes between the two.
        let _state = self.lock();
        let addresses = self.server.addresses().into_iter();
        addresses.zip(self.server.counts()).collect()
    }

    /// The number of clients that are connected and admitted.
    pub fn open(&self) -> u64 {
        let stat = self.manager().stat();
        stat.system.conns_inbound + stat.allowlisted_system.conns_inbound
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A file is replaced in one step, so a panic leaves no broken state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener that cannot be opened, as a mistake of the file.
fn not_listening(error: &io::Error, path: &Path) -> LimitsFileErrors {
    let bad = BadConfiguration {
        field: "listen.on".into(),
        reason: error.to_string(),
        ..BadConfiguration::default()
    };
    LimitsFileErrors::from(bad).of_file(path)
}
