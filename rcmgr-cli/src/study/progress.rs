//! The progress of the study: a bar on a terminal, otherwise a line every five seconds. It goes to
//! stderr, so that stdout has only the report.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rcmgr_study::Progress;

use crate::output::print_error;

/// The shortest time between two updates, so that drawing does not disturb the measurements.
const TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// The display of the progress. A bar is removed when dropped.
pub struct Shown {
    bar: Option<ProgressBar>,
    begin: Instant,
    last: Instant,
}

impl Shown {
    pub fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:40} {percent} %\n{wide_msg}");
            bar.set_style(style.expect("the template is valid"));
            bar
        });
        let now = Instant::now();
        Self {
            bar,
            begin: now,
            last: now,
        }
    }

    /// Updates the display, if the last update is long enough ago.
    pub fn show(&mut self, progress: &Progress) {
        let every = if self.bar.is_some() {
            TERMINAL
        } else {
            ELSEWHERE
        };
        if self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        let Progress { done, steps, now } = progress;
        match &self.bar {
            Some(bar) => {
                bar.set_length(*steps as u64);
                bar.set_position(*done as u64);
                bar.set_message(now.clone());
            }
            None => {
                let seconds = self.begin.elapsed().as_secs_f64();
                let percent = done * 100 / steps.max(&1);
                print_error(format_args!("{seconds:5.1} s  {percent:3} %  {now}"));
            }
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
