//! Watches on the directories where a file can change, kept up with where it is now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::inbox::Inbox;
use super::places::{Identity, Places};

/// How often it is tried to watch a path that keeps changing, before it is left to the next look. A
/// tree that is being deleted changes once for each of its levels.
const TRIES: usize = 20;

pub struct Watches {
    path: PathBuf,
    inbox: Arc<Inbox>,
    /// None until the first was made; none at all where events are not wanted.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
    wanted: bool,
    /// It was said that events can't be had.
    complained: bool,
}

impl Watches {
    pub fn new(path: PathBuf, inbox: Arc<Inbox>, wanted: bool) -> Self {
        Self {
            path,
            inbox,
            watcher: None,
            watched: BTreeMap::new(),
            wanted,
            complained: false,
        }
    }

    /// Watches what is to be watched now. Whatever changes after it is heard of; what changed
    /// before is for the caller to look at.
    pub fn renew(&mut self) {
        if !self.wanted {
            return;
        }
        match self.try_to() {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!(
                    file = %self.path.display(),
                    %error,
                    "the limits file can't be watched: it is looked at from time to time",
                );
            }
            Err(_) => {}
        }
    }

    fn try_to(&mut self) -> notify::Result<()> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            None => {
                let inbox = self.inbox.clone();
                let made = notify::recommended_watcher(move |event| inbox.receive(event))?;
                self.watcher.insert(made)
            }
        };
        let mut failed = None;
        // Again until nothing changed on the way while the watches were set.
        for _ in 0..TRIES {
            let places = Places::on_the_way_to(&self.path);
            let wanted = places.directories.clone();
            // Before the watches are set, so that none of their events is taken for another's.
            let lost = self.inbox.expect(places);
            self.watched.retain(|directory, identity| {
                let keep = wanted.get(directory) == Some(identity) && !lost.has(directory);
                if !keep {
                    // The system may have done so by itself.
                    let _ = watcher.unwatch(directory);
                }
                keep
            });
            if wanted.len() == self.watched.len() {
                return Ok(());
            }
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
        Err(failed.unwrap_or_else(|| notify::Error::generic("it changes all the time")))
    }
}

fn watch(watcher: &mut RecommendedWatcher, directory: &Path) -> notify::Result<()> {
    watcher.watch(directory, RecursiveMode::NonRecursive)
}
