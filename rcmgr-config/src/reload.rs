//! Hot reload: the limits of a running manager follow a file.
//!
//! A [`LimitsWatcher`] reads the file once when it starts. After that, its own thread waits for
//! changes. Each time the file has settled with new content, the thread builds the limits and sets
//! all of them in one step. If the file is bad, the limits stay as they are. The watcher reports
//! this once, to `tracing` and in its [`stats`](LimitsWatcher::stats), and applies the file when it
//! is valid again.
//!
//! ```
//! use std::sync::Arc;
//!
//! use rcmgr_config::LimitsExt;
//! use rcmgr_config::reload::LimitsWatcher;
//! use rcmgr_core::{Limits, NullResourceManager, ResourceManager};
//!
//! # let directory = tempfile::tempdir()?;
//! # let file = directory.path().join("limits.toml");
//! # std::fs::write(&file, "[System]\nConns = 128")?;
//! let manager = Arc::new(NullResourceManager);
//! let watched = manager.clone();
//! // Fields that the file does not set get the defaults for a machine of this size.
//! let defaults = Limits::auto_scale();
//! let apply = move |limits| watched.set_limits(limits);
//! let watcher = LimitsWatcher::start(&file, defaults, apply)?;
//! assert_eq!(watcher.stats().reloads, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to write the file
//!
//! Write a new file beside it, and rename it over the old one. Then the file is always either old
//! or new. Most editors do this, and so does Kubernetes with the links of a ConfigMap.
//!
//! A file that is written in place is incomplete for a while, and an incomplete file may parse: it
//! then has fewer settings. Therefore the watcher waits until the file has not changed for a
//! [settle time](Builder::settle_time), and treats an empty file as incomplete, never as a file
//! without settings. It cannot detect a writer that pauses: if the writer waits for longer than the
//! settle time, or dies, the incomplete file counts. The same applies to a file that never settles,
//! which is read after the [longest wait](Builder::longest_wait).
//!
//! # What is watched
//!
//! The watcher watches the directory of the file and of every link in its path, so that the file, a
//! link and the target of a link can each be replaced. A directory may disappear and come back. If
//! the system provides no events (a network file system, or no more watches available), or an event
//! is lost, the watcher still reads the file [every few seconds](Builder::look_every). The same
//! applies when a directory farther up is renamed, or when the file changes through a memory map.
//!
//! Only the content decides whether the file has changed: touching it causes no reload. Limits that
//! were set by other means in the meantime stay until the content changes.

mod errors;
mod follower;
mod inbox;
mod options;
mod reading;
mod resolution;
mod stats;
mod watches;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcmgr_core::{Limits, Result};

use crate::{LimitsFile, LimitsFileErrors};
use errors::{Failure, bad};
use follower::Follower;
use inbox::Inbox;
use options::Options;
use reading::Reading;
use stats::Counts;

pub use stats::ReloadStats;

/// Keeps a manager's limits equal to a file: see the [module](self).
///
/// Dropping it stops its thread and waits until the thread has ended.
#[derive(Debug)]
#[must_use = "the file is followed only until the watcher is dropped"]
pub struct LimitsWatcher {
    path: PathBuf,
    inbox: Arc<Inbox>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl LimitsWatcher {
    /// Loads the limits file at `path` over `defaults` and applies the result, then follows the
    /// file with the default times.
    ///
    /// `apply` sets the limits, as in `move |limits| manager.set_limits(limits)`. The first call is
    /// on the caller's thread, later calls are on the watcher's thread, one at a time. A panic on
    /// the watcher's thread counts as a failure.
    ///
    /// A relative path is made absolute now, so later changes of the current directory have no
    /// effect.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::Error::BadConfiguration) if the file cannot be read, is not
    /// a regular file or is empty, or for the reasons listed at [`LimitsFile::read`]; then nothing
    /// was applied. Also if no thread can be started; then the limits were applied, but the file is
    /// not followed.
    pub fn start<A>(path: impl AsRef<Path>, defaults: Limits, apply: A) -> Result<Self>
    where
        A: Fn(Limits) + Send + 'static,
    {
        Self::builder().start(path, defaults, apply)
    }

    /// A builder, to set other times.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The absolute path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file soon, and applies it even if it is the same as before. If it is bad, this is
    /// reported again. Call it when an operator asks for a reload, as with `SIGHUP`.
    pub fn reload(&self) {
        self.inbox.reload();
    }

    /// The counters since the start, and the last error.
    pub fn stats(&self) -> ReloadStats {
        let mut copy = ReloadStats::default();
        self.counts.change(|stats| copy.clone_from(stats));
        copy
    }
}

impl Drop for LimitsWatcher {
    fn drop(&mut self) {
        self.inbox.stop();
        if let Some(thread) = self.thread.take()
            // `apply` may own the watcher and drop it on the watcher's own thread, which cannot
            // join itself.
            && thread.thread().id() != thread::current().id()
        {
            // The thread catches panics of its callbacks, and any other panic has no receiver here.
            let _ = thread.join();
        }
    }
}

/// The settings of a [`LimitsWatcher`].
///
/// ```
/// use std::time::Duration;
/// use rcmgr_config::reload::LimitsWatcher;
///
/// let builder = LimitsWatcher::builder()
///     .settle_time(Duration::from_millis(20))
///     .look_every(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// How long the file must stay unchanged before it is applied: by default 100 ms, at least 1
    /// ms. A change takes effect after one to two times this duration.
    pub fn settle_time(mut self, time: Duration) -> Self {
        self.options.settle_time = time.max(Duration::from_millis(1));
        self
    }

    /// How long a file may keep changing before it is applied anyway: by default 2 s. It is rounded
    /// up to whole settle times.
    pub fn longest_wait(mut self, time: Duration) -> Self {
        self.options.longest_wait = time;
        self
    }

    /// How often the file is read even without an event: by default every 5 s. It is never read
    /// more often than once per settle time.
    pub fn look_every(mut self, time: Duration) -> Self {
        self.options.look_every = time;
        self
    }

    /// Uses no file system events: the file is only polled.
    pub fn without_events(mut self) -> Self {
        self.options.events = false;
        self
    }

    /// Starts the watcher: see [`LimitsWatcher::start`].
    ///
    /// # Errors
    ///
    /// As [`LimitsWatcher::start`].
    pub fn start<A>(
        self,
        path: impl AsRef<Path>,
        defaults: Limits,
        apply: A,
    ) -> Result<LimitsWatcher>
    where
        A: Fn(Limits) + Send + 'static,
    {
        let load = move |text: &str, path: &Path| {
            let file = LimitsFile::from_text_of_with_all_errors(path, text)?;
            Ok(file.limits.build(&defaults))
        };
        self.follow(path, load, apply)
    }

    /// Starts a watcher for a file in another format. `load` converts the text to limits. It is
    /// called for each new text, on the same thread as `apply`, and gets the path for its errors.
    ///
    /// # Errors
    ///
    /// As [`LimitsWatcher::start`], or the error of `load`.
    pub fn start_with<L, A>(
        self,
        path: impl AsRef<Path>,
        load: L,
        apply: A,
    ) -> Result<LimitsWatcher>
    where
        L: Fn(&str, &Path) -> Result<Limits> + Send + 'static,
        A: Fn(Limits) + Send + 'static,
    {
        let load = move |text: &str, path: &Path| Ok(load(text, path)?);
        self.follow(path, load, apply)
    }

    /// Starts a watcher for a file that has the settings of a program beside the limits. `load`
    /// converts the text to both, and `apply` applies both in one step. If the file is bad, all its
    /// mistakes are reported, and neither the settings nor the limits change.
    ///
    /// # Errors
    ///
    /// As [`LimitsWatcher::start`], or the first error of `load`.
    pub fn start_with_settings<T, L, A>(
        self,
        path: impl AsRef<Path>,
        load: L,
        apply: A,
    ) -> Result<LimitsWatcher>
    where
        L: Fn(&str, &Path) -> Result<T, LimitsFileErrors> + Send + 'static,
        A: Fn(T) + Send + 'static,
    {
        let load = move |text: &str, path: &Path| Ok(load(text, path)?);
        self.follow(path, load, apply)
    }

    fn follow<T, L, A>(self, path: impl AsRef<Path>, load: L, apply: A) -> Result<LimitsWatcher>
    where
        L: Fn(&str, &Path) -> Result<T, Failure> + Send + 'static,
        A: Fn(T) + Send + 'static,
    {
        let given = path.as_ref();
        let path = std::path::absolute(given).map_err(|error| bad(given, &error))?;
        let load_and_apply = {
            let path = path.clone();
            move |text: &str| {
                let loaded = load(text, &path).map_err(|failure| failure.with_file(&path))?;
                apply(loaded);
                Ok(())
            }
        };
        // The first load is on the caller's thread, so that the caller gets its error.
        let text = Reading::of(&path).text?;
        load_and_apply(&text).map_err(|failure: Failure| failure.error)?;

        let follower = Follower {
            path: path.clone(),
            options: self.options,
            load_and_apply,
            applied: Some(text.clone()),
            last_text: Ok(text),
            inbox: Arc::default(),
            counts: Arc::default(),
        };
        let (inbox, counts) = (follower.inbox.clone(), follower.counts.clone());
        let thread = thread::Builder::new()
            .name("rcmgr-reload".to_owned())
            .spawn(|| follower.run())
            .map_err(|error| {
                bad(
                    &path,
                    &format_args!("cannot start the thread that follows it: {error}"),
                )
            })?;
        Ok(LimitsWatcher {
            path,
            inbox,
            counts,
            thread: Some(thread),
        })
    }
}
