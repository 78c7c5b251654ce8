//! Notifications to the follower's thread: a change of the file, or the request to stop.
//!
//! Events are not queued. The thread that delivers an event checks whether it is relevant, and sets
//! a flag. So a flood of events needs no memory, and the follower, which reads the whole file
//! anyway, is woken only for its own file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};

use super::resolution::Resolution;

#[derive(Debug, Default)]
pub struct Inbox {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    stop: bool,
    changed: bool,
    /// Whether the file must be applied even if it is the same as before.
    reload: bool,
    /// The names whose changes are relevant.
    resolution: Resolution,
    lost: Lost,
}

/// The directories whose watches no longer work.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    Directories(BTreeSet<PathBuf>),
    All,
}

impl Default for Lost {
    fn default() -> Self {
        Self::Directories(BTreeSet::new())
    }
}

impl Lost {
    pub fn has(&self, directory: &Path) -> bool {
        match self {
            Self::Directories(directories) => directories.contains(directory),
            Self::All => true,
        }
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    Stopped,
    Changed,
    TimeUp,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Each field is valid on its own, so a panic of another thread leaves no broken state.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the thread to stop.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.wake.notify_all();
    }

    /// Asks the thread to apply the file again.
    pub fn reload(&self) {
        let mut pending = self.lock();
        pending.reload = true;
        pending.changed = true;
        self.wake.notify_all();
    }

    /// Whether the file must be applied again. Each request is reported once.
    pub fn take_reload(&self) -> bool {
        std::mem::take(&mut self.lock().reload)
    }

    /// Sets the names that are relevant from now on, and takes the lost directories.
    pub fn set_relevant(&self, resolution: Resolution) -> Lost {
        let mut pending = self.lock();
        pending.resolution = resolution;
        std::mem::take(&mut pending.lost)
    }

    /// Receives an event of any file in a watched directory.
    pub fn receive(&self, event: notify::Result<notify::Event>) {
        // If events were missed, any watch may be lost: read the file, and set all watches again.
        let missed = match &event {
            Ok(event) => event.need_rescan(),
            Err(_) => true,
        };
        let mut pending = self.lock();
        if missed {
            pending.lost = Lost::All;
            pending.changed = true;
        }
        if let Ok(event) = event {
            pending.note(&event);
        }
        if pending.changed {
            self.wake.notify_all();
        }
    }

    /// Waits until a relevant change, a stop request, or the time is up.
    pub fn wait(&self, at_most: Duration) -> Woken {
        self.wait_while(at_most, |pending| !pending.stop && !pending.changed)
    }

    /// Waits for the whole time unless stopped, and reports whether a change arrived meanwhile.
    pub fn pause(&self, time: Duration) -> Woken {
        self.wait_while(time, |pending| !pending.stop)
    }

    fn wait_while(&self, time: Duration, keep_waiting: impl Fn(&Pending) -> bool) -> Woken {
        let waited = self
            .wake
            .wait_timeout_while(self.lock(), time, |pending| keep_waiting(pending));
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // Each change is reported once.
        let changed = std::mem::take(&mut pending.changed);
        match (pending.stop, changed) {
            (true, _) => Woken::Stopped,
            (false, true) => Woken::Changed,
            (false, false) => Woken::TimeUp,
        }
    }
}

impl Pending {
    fn note(&mut self, event: &notify::Event) {
        // Reading the file is an event too, but must not cause another reading. Closing it after
        // writing counts.
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
            // A watch stays with a directory that is removed or renamed, so the path needs a new
            // one.
            if moves_away && self.resolution.directories.contains_key(path) {
                if let Lost::Directories(directories) = &mut self.lost {
                    directories.insert(path.clone());
                }
                self.changed = true;
            }
            self.changed |= self.resolution.names.contains(path);
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
        inbox.set_relevant(Resolution::of(&path.join("limits")));
        (directory, path, inbox)
    }

    fn event(kind: EventKind, path: PathBuf) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(path))
    }

    #[test]
    fn only_changes_of_expected_names_wake_the_thread() {
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
    fn a_removed_directory_has_lost_its_watch() {
        let (_directory, path, inbox) = expecting();
        let created = EventKind::Create(CreateKind::Folder);
        inbox.receive(event(created, path.clone()));
        assert_eq!(inbox.wait(NOW), Woken::TimeUp);
        inbox.receive(event(EventKind::Remove(RemoveKind::Folder), path.clone()));
        assert_eq!(inbox.wait(NOW), Woken::Changed);
        let lost = inbox.set_relevant(Resolution::default());
        assert!(lost.has(&path) && !lost.has(Path::new("/")));
    }

    #[test]
    fn missed_events_cause_a_look_and_new_watches() {
        let (_directory, path, inbox) = expecting();
        for missed in [
            Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)),
            Err(notify::Error::generic("any error")),
        ] {
            inbox.receive(missed);
            assert_eq!(inbox.wait(NOW), Woken::Changed);
            assert_eq!(inbox.set_relevant(Resolution::default()), Lost::All);
        }
        assert!(!inbox.set_relevant(Resolution::default()).has(&path));
    }
}
