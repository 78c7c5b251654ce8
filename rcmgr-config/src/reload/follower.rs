//! The thread that follows the file.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use rcmgr_core::{BadConfiguration, Error};

use super::errors::with_file;
use super::inbox::{Inbox, Woken};
use super::options::Options;
use super::reading::{Reading, Text};
use super::stats::Counts;
use super::watches::Watches;

pub struct Follower<T> {
    pub path: PathBuf,
    pub options: Options,
    /// Makes limits of a text, and applies them.
    pub take: T,
    /// What the limits are of; `None` where that can't be told.
    pub applied: Option<Arc<str>>,
    /// What was found last, good or bad: only what differs from it is news.
    pub found: Text,
    pub inbox: Arc<Inbox>,
    pub counts: Arc<Counts>,
}

impl<T: FnMut(&str) -> Result<(), Error>> Follower<T> {
    pub fn run(mut self) {
        let wanted = self.options.events;
        let mut watches = Watches::new(self.path.clone(), self.inbox.clone(), wanted);
        // What happened before there were watches is found by the first look.
        while self.look(&mut watches).is_continue() {
            if self.inbox.wait(self.options.look_every) == Woken::Stopped {
                return;
            }
        }
    }

    /// Reads the file until it is at rest, and takes it.
    ///
    /// There is a pause in it, so that a file which always changes costs two readings in each.
    fn look(&mut self, watches: &mut Watches) -> ControlFlow<()> {
        // The watches come first: a change is either read or heard of.
        watches.renew();
        let mut seen = Reading::of(&self.path);
        for _ in 0..self.options.pauses() {
            let woken = self.inbox.pause(self.options.settle_time);
            match woken {
                Woken::Stopped => return ControlFlow::Break(()),
                Woken::Changed => watches.renew(),
                Woken::TimeUp => {}
            }
            let before = std::mem::replace(&mut seen, Reading::of(&self.path));
            if woken == Woken::TimeUp && seen == before {
                break;
            }
        }
        self.take(seen.text);
        self.counts.change(|stats| stats.looks += 1);
        ControlFlow::Continue(())
    }

    fn take(&mut self, text: Text) {
        if text == self.found {
            return;
        }
        match &text {
            Ok(text) if self.applied.as_ref() == Some(text) => {
                tracing::info!(file = %self.path.display(), "the limits file is again as it was");
                self.counts.change(|stats| stats.error = None);
            }
            Ok(text) => match self.try_to_apply(text) {
                Ok(()) => {
                    self.applied = Some(text.clone());
                    tracing::info!(file = %self.path.display(), "limits reloaded");
                    self.counts.change(|stats| {
                        stats.reloads += 1;
                        stats.error = None;
                    });
                }
                Err(error) => self.fail(error),
            },
            Err(bad) => self.fail(bad.clone().into()),
        }
        self.found = text;
    }

    /// A parser's mistake must not end the watch.
    fn try_to_apply(&mut self, text: &str) -> Result<(), Error> {
        let taken = catch_unwind(AssertUnwindSafe(|| (self.take)(text)));
        taken.unwrap_or_else(|_| {
            // It may have been on either side of the change.
            self.applied = None;
            let panicked = BadConfiguration {
                reason: "panicked when it was loaded".to_owned(),
                ..BadConfiguration::default()
            };
            Err(with_file(panicked.into(), &self.path))
        })
    }

    fn fail(&self, error: Error) {
        let kept = "the limits file is bad: the limits stay as they are";
        match &error {
            Error::BadConfiguration(bad) => {
                let file = bad.file.as_deref().unwrap_or(&self.path).display();
                let (line, field, reason) = (bad.line, &bad.field, &bad.reason);
                tracing::warn!(%file, line, field, reason, "{kept}");
            }
            error => tracing::warn!(file = %self.path.display(), %error, "{kept}"),
        }
        self.counts.change(|stats| {
            stats.failures += 1;
            stats.error = Some(error);
        });
    }
}
