//! The progress of the demo: a bar on a terminal, otherwise a line every second. It goes to stderr,
//! so that stdout has only the report.

use std::io::{self, IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rcmgr_atomic::{Manager, ScopeClass};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::format::grouped;
use super::scopes::connections_refused;
use super::stage::Stage;
use super::tally::Tally;

/// A bar on a terminal, otherwise nothing.
#[derive(Debug, Clone)]
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar that is shown from the first update on, and full after `length`.
    pub fn new(length: Duration) -> Self {
        let bar = || {
            let bar = ProgressBar::new(length.as_millis() as u64);
            let style = ProgressStyle::with_template("{bar:40} {prefix}\n{wide_msg}");
            bar.set_style(style.expect("the template is valid"));
            bar
        };
        Self(stderr().is_terminal().then(bar))
    }
}

/// Writes to stderr, above the bar.
impl Write for Bar {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.write_all(text).map(|()| text.len())
    }

    fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        match &self.0 {
            Some(bar) => bar.suspend(|| stderr().write_all(text)),
            None => stderr().write_all(text),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

/// Displays the progress.
pub struct Progress<'a> {
    /// The bar.
    pub bar: Bar,
    /// The manager, which counts refusals.
    pub manager: &'a Manager,
    /// The counters of server and clients.
    pub tally: &'a Tally,
    /// The current stage.
    pub stage: watch::Receiver<Stage>,
}

impl Progress<'_> {
    /// Updates the display periodically, until it is dropped.
    pub async fn show(self) -> ! {
        let bar = self.bar.0.clone().map(Erased);
        let every = Duration::from_millis(if bar.is_some() { 100 } else { 1000 });
        let begin = Instant::now();
        let mut ticks = interval_at(begin + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let stage = self.stage.borrow().describe();
            let counts = self.counts();
            match &bar {
                Some(Erased(bar)) => {
                    bar.set_position(begin.elapsed().as_millis() as u64);
                    bar.set_prefix(stage);
                    bar.set_message(counts);
                }
                None => {
                    let seconds = begin.elapsed().as_secs_f64();
                    eprintln!("{seconds:5.1} s  {stage}: {counts}");
                }
            }
        }
    }

    /// The counters, in a line for a narrow terminal.
    fn counts(&self) -> String {
        let refused = |class| grouped(connections_refused(&self.manager.refusals(class)));
        format!(
            "{} open, {} echoes; refused: {} peer, {} transient, {} system",
            grouped(self.tally.server.admitted.now()),
            grouped(self.tally.honest.echoes.get()),
            refused(ScopeClass::Peer),
            refused(ScopeClass::Transient),
            refused(ScopeClass::System),
        )
    }
}

/// A bar that is removed from the terminal when it is dropped.
struct Erased(ProgressBar);

impl Drop for Erased {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
