//! What the watching thread is told by others: that something changed, or that it is to stop.
//!
//! Events are not queued: whoever hears of one looks whether it can matter, and sets a flag. So a
//! flood of them costs no memory, and the thread, which reads the file anew in any case, is woken
//! only for its own file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};

use super::places::Places;

#[derive(Debug, Default)]
pub struct Inbox {
    letters: Mutex<Letters>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Letters {
    stop: bool,
    changed: bool,
    /// What is waited for.
    places: Places,
    lost: Lost,
}

/// Whose watches are gone.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    These(BTreeSet<PathBuf>),
    All,
}

impl Default for Lost {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Lost {
    pub fn has(&self, directory: &Path) -> bool {
        match self {
            Self::These(directories) => directories.contains(directory),
            Self::All => true,
        }
    }
}

/// Why the thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    Stopped,
    Changed,
    TimeUp,
}

impl Inbox {
    fn open(&self) -> MutexGuard<'_, Letters> {
        // Each letter is whole by itself, whatever happened to who wrote it.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stop(&self) {
        self.open().stop = true;
        self.arrived.notify_all();
    }

    /// Says which places matter from now on, and takes what was lost.
    pub fn expect(&self, places: Places) -> Lost {
        let mut letters = self.open();
        letters.places = places;
        std::mem::take(&mut letters.lost)
    }

    /// An event of any file in a watched directory.
    pub fn receive(&self, event: notify::Result<notify::Event>) {
        let missed = match &event {
            Ok(event) => event.need_rescan(),
            Err(_) => true,
        };
        let mut letters = self.open();
        if missed {
            letters.lost = Lost::All;
            letters.changed = true;
        }
        if let Ok(event) = event {
            letters.take_in(&event);
        }
        if letters.changed {
            self.arrived.notify_all();
        }
    }

    /// Waits until something arrives.
    pub fn wait(&self, at_most: Duration) -> Woken {
        self.wait_while(at_most, |letters| !letters.stop && !letters.changed)
    }

    /// Waits all the time, but for being stopped, and says whether something arrived meanwhile.
    pub fn pause(&self, time: Duration) -> Woken {
        self.wait_while(time, |letters| !letters.stop)
    }

    fn wait_while(&self, time: Duration, go_on: impl Fn(&Letters) -> bool) -> Woken {
        let waited = self
            .arrived
            .wait_timeout_while(self.open(), time, |letters| go_on(letters));
        let (mut letters, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let changed = std::mem::take(&mut letters.changed);
        match (letters.stop, changed) {
            (true, _) => Woken::Stopped,
            (false, true) => Woken::Changed,
            (false, false) => Woken::TimeUp,
        }
    }
}

impl Letters {
    fn take_in(&mut self, event: &notify::Event) {
        // To read the file is an event, too: it must not lead to the next reading.
        if let EventKind::Access(kind) = event.kind
            && kind != AccessKind::Close(AccessMode::Write)
        {
            return;
        }
        let moves_away = matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
        );
        for path in &event.paths {
            if moves_away && self.places.directories.contains_key(path) {
                if let Lost::These(directories) = &mut self.lost {
                    directories.insert(path.clone());
                }
                self.changed = true;
            }
            self.changed |= self.places.names.contains(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::Event;
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind};

    use super::*;

    const NOW: Duration = Duration::ZERO;

    /// An inbox for a file `limits` in a new directory, and the directory.
    fn expecting() -> (tempfile::TempDir, PathBuf, Inbox) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let inbox = Inbox::default();
        inbox.expect(Places::on_the_way_to(&path.join("limits")));
        (directory, path, inbox)
    }

    fn event(kind: EventKind, path: PathBuf) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(path))
    }

    #[test]
    fn only_changes_of_what_is_expected_wake_the_thread() {
        let (_directory, path, inbox) = expecting();
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        inbox.receive(event(written, path.join("other")));
        inbox.receive(event(opened, path.join("limits")));
        assert_eq!(inbox.wait(NOW), Woken::TimeUp);
        inbox.receive(event(written, path.join("limits")));
        assert_eq!(inbox.wait(NOW), Woken::Changed);
        assert_eq!(inbox.wait(NOW), Woken::TimeUp);
        inbox.stop();
        assert_eq!(inbox.wait(Duration::MAX), Woken::Stopped);
    }

    #[test]
    fn a_directory_that_goes_has_lost_its_watch() {
        let (_directory, path, inbox) = expecting();
        let made = EventKind::Create(CreateKind::Folder);
        inbox.receive(event(made, path.clone()));
        assert_eq!(inbox.wait(NOW), Woken::TimeUp);
        inbox.receive(event(EventKind::Remove(RemoveKind::Folder), path.clone()));
        assert_eq!(inbox.wait(NOW), Woken::Changed);
        let lost = inbox.expect(Places::default());
        assert!(lost.has(&path) && !lost.has(Path::new("/")));
    }

    #[test]
    fn missed_events_mean_look_and_watch_anew() {
        let (_directory, path, inbox) = expecting();
        for missed in [
            Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)),
            Err(notify::Error::generic("what now")),
        ] {
            inbox.receive(missed);
            assert_eq!(inbox.wait(NOW), Woken::Changed);
            assert_eq!(inbox.expect(Places::default()), Lost::All);
        }
        assert!(!inbox.expect(Places::default()).has(&path));
    }
}
