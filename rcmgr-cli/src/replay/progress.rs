//! The progress of a replay: a bar on a terminal, nothing elsewhere.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};
use rcmgr_metrics::replay::Progress;

/// A progress bar. It is removed when dropped.
pub struct Shown(Option<ProgressBar>);

impl Shown {
    pub fn new() -> Self {
        Self(stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {percent} % {eta} left");
            let bar = ProgressBar::new(0);
            bar.set_style(style.expect("the template is valid"));
            bar
        }))
    }

    pub fn show(&self, progress: Progress) {
        if let Some(bar) = &self.0 {
            bar.set_length(progress.of);
            bar.set_position(progress.done);
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
