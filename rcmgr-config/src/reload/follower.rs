//! The thread that follows the file.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use rcmgr_core::{BadConfiguration, Error};

use super::errors::Failure;
use super::inbox::{Inbox, Woken};
use super::options::Options;
use super::reading::{Reading, Text};
use super::stats::{Counts, ReloadStats};
use super::watches::Watches;

/// The state of the thread.
pub struct Follower<T> {
    pub path: PathBuf,
    pub options: Options,
    /// Builds limits from a text, and applies them.
    pub load_and_apply: T,
    /// The text whose limits are in force; `None` if that is unknown.
    pub applied: Option<Arc<str>>,
    /// The last text or error that was read; only a difference from it is handled.
    pub last_text: Text,
    pub inbox: Arc<Inbox>,
    pub counts: Arc<Counts>,
}

impl<T: FnMut(&str) -> Result<(), Failure>> Follower<T> {
    /// Follows the file until the watcher is dropped.
    pub fn run(mut self) {
        let wanted = self.options.events;
        let mut watches = Watches::new(self.path.clone(), self.inbox.clone(), wanted);
        // The first look finds any change that happened before the watches were set.
        while self.look(&mut watches).is_continue() {
            if self.inbox.wait(self.options.look_every) == Woken::Stopped {
                return;
            }
        }
    }

    /// Reads the file until it has settled, and handles its text.
    ///
    /// It pauses between readings, so a file that changes all the time costs at most two readings
    /// per pause.
    fn look(&mut self, watches: &mut Watches) -> ControlFlow<()> {
        // Set the watches first, so that every later change is either read below or reported by an
        // event.
        watches.renew();
        // A request that comes after this is for the next look.
        let is_asked_for = self.inbox.take_reload();
        let mut seen = Reading::of(&self.path);
        // The file has settled if a whole pause brings no event and the same content.
        for _ in 0..self.options.pauses() {
            let woken = self.inbox.pause(self.options.settle_time);
            match woken {
                Woken::Stopped => return ControlFlow::Break(()),
                // A link or directory may have changed: watch the new targets.
                Woken::Changed => watches.renew(),
                Woken::TimeUp => {}
            }
            let before = std::mem::replace(&mut seen, Reading::of(&self.path));
            if woken == Woken::TimeUp && seen == before {
                break;
            }
        }
        self.handle(seen.text, is_asked_for);
        self.counts.change(|stats| stats.looks += 1);
        ControlFlow::Continue(())
    }

    /// Applies a new text, or records an error, unless it is the same as the last one. If a reload
    /// `is_asked_for`, it may be the same.
    fn handle(&mut self, text: Text, is_asked_for: bool) {
        if text == self.last_text && !is_asked_for {
            return;
        }
        match &text {
            // The bad file was replaced by the text whose limits are already in force.
            Ok(text) if self.applied.as_ref() == Some(text) && !is_asked_for => {
                tracing::info!(
                    file = %self.path.display(),
                    "the limits file is valid again; its limits are already in force",
                );
                self.counts.change(ReloadStats::succeeded);
            }
            Ok(text) => match self.try_to_apply(text) {
                Ok(()) => {
                    self.applied = Some(text.clone());
                    tracing::info!(file = %self.path.display(), "limits reloaded");
                    self.counts.change(|stats| {
                        stats.reloads += 1;
                        stats.succeeded();
                    });
                }
                Err(failure) => self.fail(failure),
            },
            Err(bad) => self.fail(Error::from(bad.clone()).into()),
        }
        self.last_text = text;
    }

    /// Loads and applies a text. A panic of either counts as a failure and must not end the thread.
    fn try_to_apply(&mut self, text: &str) -> Result<(), Failure> {
        let result = catch_unwind(AssertUnwindSafe(|| (self.load_and_apply)(text)));
        result.unwrap_or_else(|_| {
            // The panic may have come before or after the limits were set.
            self.applied = None;
            let panicked = BadConfiguration {
                reason: "loading or applying it panicked".to_owned(),
                ..BadConfiguration::default()
            };
            Err(Failure::from(Error::from(panicked)).with_file(&self.path))
        })
    }

    /// Logs all mistakes, and records them.
    fn fail(&self, failure: Failure) {
        let Failure {
            error,
            others,
            more,
        } = failure;
        let kept = "the limits file is invalid; the limits stay as they are";
        let log = |bad: &BadConfiguration| {
            let file = bad.file.as_deref().unwrap_or(&self.path).display();
            let (line, field, reason) = (bad.line, &bad.field, &bad.reason);
            tracing::warn!(%file, line, field, reason, "{kept}");
        };
        match &error {
            Error::BadConfiguration(bad) => log(bad),
            error => tracing::warn!(file = %self.path.display(), %error, "{kept}"),
        }
        others.iter().for_each(log);
        if more > 0 {
            let file = self.path.display();
            tracing::warn!(%file, more, "the limits file has more mistakes");
        }
        self.counts.change(|stats| {
            stats.failures += 1;
            stats.error = Some(error);
            stats.other_errors = others;
        });
    }
}
