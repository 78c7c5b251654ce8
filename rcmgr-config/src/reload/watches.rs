//! The watches on the directories in the file's path, renewed when the path changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::inbox::Inbox;
use super::resolution::{Identity, Resolution};

/// How many times to retry watching a path that keeps changing, before leaving it to the next look.
/// A tree that is being deleted changes once for each of its levels.
const TRIES: usize = 20;

pub struct Watches {
    path: PathBuf,
    inbox: Arc<Inbox>,
    /// `None` until it is first needed, and always if events are not wanted.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
    wanted: bool,
    /// Whether the warning that events are not available was logged.
    warned: bool,
}

impl Watches {
    pub fn new(path: PathBuf, inbox: Arc<Inbox>, wanted: bool) -> Self {
        Self {
            path,
            inbox,
            watcher: None,
            watched: BTreeMap::new(),
            wanted,
            warned: false,
        }
    }

    /// Watches the directories of the current path. Every later change causes an event. The caller
    /// must check for earlier changes.
    pub fn renew(&mut self) {
        if !self.wanted {
            return;
        }
        match self.watch_path() {
            Ok(()) => self.warned = false,
            Err(error) if !self.warned => {
                self.warned = true;
                tracing::warn!(
                    file = %self.path.display(),
                    %error,
                    "the limits file cannot be watched for events; it is polled instead",
                );
            }
            Err(_) => {}
        }
    }

    /// Sets the watches of the current path.
    fn watch_path(&mut self) -> notify::Result<()> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            None => {
                let inbox = self.inbox.clone();
                let watcher = notify::recommended_watcher(move |event| inbox.receive(event))?;
                self.watcher.insert(watcher)
            }
        };
        let mut failed = None;
        // Repeat until the path did not change while the watches were set.
        for _ in 0..TRIES {
            let resolution = Resolution::of(&self.path);
            let wanted = resolution.directories.clone();
            // Set the relevant names before the watches, so that no event of theirs is ignored.
            let lost = self.inbox.set_relevant(resolution);
            // Drop the watches of directories that were replaced, lost their watch, or left the path.
            self.watched.retain(|directory, identity| {
                let keep = wanted.get(directory) == Some(identity) && !lost.has(directory);
                if !keep {
                    // This fails if the system has already removed the watch.
                    let _ = watcher.unwatch(directory);
                }
                keep
            });
            // All directories are watched, and the path was followed after that.
            if wanted.len() == self.watched.len() {
                return Ok(());
            }
            // Watch the new directories, then follow the path again.
            failed = None;
            for (directory, identity) in wanted {
                if self.watched.contains_key(&directory) {
                    continue;
                }
                match watch(watcher, &directory) {
                    Ok(()) => drop(self.watched.insert(directory, identity)),
                    Err(error) => failed = Some(error),
                }
            }
        }
        Err(failed.unwrap_or_else(|| notify::Error::generic("its path keeps changing")))
    }
}

fn watch(watcher: &mut RecommendedWatcher, directory: &Path) -> notify::Result<()> {
    watcher.watch(directory, RecursiveMode::NonRecursive)
}
