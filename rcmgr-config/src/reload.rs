//! Hot reload: the limits of a running manager follow a file.
//!
//! A [`LimitsWatcher`] reads the file once when it starts. From then on a thread of its own waits
//! for changes, and each time the file is at rest with another content, it makes limits of that and
//! sets all of them as one change. A file that is bad leaves the limits as they are; the watcher
//! says so once, to `tracing` and in its [`stats`](LimitsWatcher::stats), and takes the file when
//! it is good again.
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
//! // What the file does not say is as on any machine of this size.
//! let defaults = Limits::auto_scale();
//! let apply = move |limits| watched.set_limits(limits);
//! let watcher = LimitsWatcher::start(&file, defaults, apply)?;
//! assert_eq!(watcher.stats().reloads, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to write the file
//!
//! Write another file beside it and rename that over it. Then there is no moment at which the file
//! is neither old nor new. Most editors do so, and so does Kubernetes with the links of a ConfigMap.
//!
//! A file that is written in place is half-written for a while, and half a file may well parse: it
//! is one with fewer settings. So the watcher waits until the file has been the same for a
//! [settle time](Builder::settle_time), and takes an empty one for half-written, never for one
//! without settings. What it can't tell apart is a file whose writer stopped in between: if the
//! writer waits for longer than the settle time, or dies, then what is there counts. The same goes
//! for a file that never rests: it is taken as it is after the
//! [longest wait](Builder::longest_wait).
//!
//! # What is watched
//!
//! The directory that the file is in, and that of every link on the way to it, so that the file,
//! the link, and where the link points to can each be replaced. A directory may vanish and come
//! back. Where the system has no events (a network file system, no more watches to be had), or one
//! is lost, the file is still looked at [every few seconds](Builder::look_every). So it is too
//! when a directory farther up was renamed, or the file is changed through a memory map.
//!
//! Whether the file has changed is decided by its content: to touch it is no reload. Limits that
//! were set meanwhile by other means stay until the content changes.

mod errors;
mod follower;
mod inbox;
mod options;
mod places;
mod reading;
mod stats;
mod watches;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcmgr_core::{Limits, Result};

use crate::LimitsFile;
use errors::{bad, with_file};
use follower::Follower;
use inbox::Inbox;
use options::Options;
use reading::Reading;
use stats::Counts;

pub use stats::ReloadStats;

/// Keeps limits as a file says: see the [module](self).
///
/// Dropping it ends its thread, and waits for that.
#[derive(Debug)]
#[must_use = "the file is followed only until the watcher is dropped"]
pub struct LimitsWatcher {
    path: PathBuf,
    inbox: Arc<Inbox>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl LimitsWatcher {
    /// Loads the limits file at `path` over `defaults` and applies what comes out, then follows it
    /// with the usual times.
    ///
    /// `apply` sets the limits, as in `move |limits| manager.set_limits(limits)`. It is called on
    /// the caller's thread at first, then on the watcher's, one at a time. If it panics there, that
    /// counts as a failure.
    ///
    /// A relative path is made absolute now: a later change of the current directory is none of
    /// the file's.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::Error::BadConfiguration) if the file can't be read, is no regular file,
    /// is empty, or for the reasons of [`LimitsFile::read`]: nothing was applied then. Also if there
    /// is no thread to be had: then it was applied, and is not followed.
    pub fn start<A>(path: impl AsRef<Path>, defaults: Limits, apply: A) -> Result<Self>
    where
        A: Fn(Limits) + Send + 'static,
    {
        Self::builder().start(path, defaults, apply)
    }

    /// A watcher with other times.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The file, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What happened so far.
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
            // Whoever applies limits may own the watcher: a thread can't wait for itself.
            && thread.thread().id() != thread::current().id()
        {
            // It can't have panicked but outside of what it calls: there is nobody to tell.
            let _ = thread.join();
        }
    }
}

/// How a [`LimitsWatcher`] watches.
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
    /// For how long the file must be the same before it is taken: 100 ms if nothing else is said,
    /// and at least 1 ms. A change counts after once or twice this time.
    pub fn settle_time(mut self, time: Duration) -> Self {
        self.options.settle_time = time.max(Duration::from_millis(1));
        self
    }

    /// After how long a file that is written to all the time is taken as it is: 2 s if nothing
    /// else is said. It is rounded up to whole settle times.
    pub fn longest_wait(mut self, time: Duration) -> Self {
        self.options.longest_wait = time;
        self
    }

    /// How often to look at the file where no event says that it changed: every 5 s if nothing
    /// else is said. It is not looked at more often than there is a settle time.
    pub fn look_every(mut self, time: Duration) -> Self {
        self.options.look_every = time;
        self
    }

    /// Doesn't ask the system for events: the file is only looked at from time to time.
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
            let file = LimitsFile::from_text_of(path, text)?;
            Ok(file.limits.build(&defaults))
        };
        self.start_with(path, load, apply)
    }

    /// Starts a watcher of a file that has limits in some other form: `load` makes them of its
    /// text. It is called whenever that is another one, where `apply` is called, and is given the
    /// path for its errors.
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
        let given = path.as_ref();
        let path = std::path::absolute(given).map_err(|error| bad(given, &error))?;
        let take = {
            let path = path.clone();
            move |text: &str| {
                let limits = load(text, &path).map_err(|error| with_file(error, &path))?;
                apply(limits);
                Ok(())
            }
        };
        let text = Reading::of(&path).text?;
        take(&text)?;

        let follower = Follower {
            path: path.clone(),
            options: self.options,
            take,
            applied: Some(text.clone()),
            found: Ok(text),
            inbox: Arc::default(),
            counts: Arc::default(),
        };
        let (inbox, counts) = (follower.inbox.clone(), follower.counts.clone());
        let thread = thread::Builder::new()
            .name("rcmgr-reload".to_owned())
            .spawn(|| follower.run())
            .map_err(|error| bad(&path, &format_args!("no thread to follow it: {error}")))?;
        Ok(LimitsWatcher {
            path,
            inbox,
            counts,
            thread: Some(thread),
        })
    }
}
