//! The progress of the demo: a bar on a terminal, otherwise a line every second. It goes to stderr,
//! so that stdout has only the report.

use std::io::{self, IsTerminal, Write, stderr};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ratatui::crossterm::terminal;
use rcmgr_atomic::{Manager, ScopeClass};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::format::grouped;
use super::scopes::connections_refused;
use super::stage::Stage;
use super::tally::Tally;
use super::verdict::refused_by_address;
use crate::output::{for_stderr, print_error};

/// A bar on a terminal, otherwise nothing; and the begin of the demo.
#[derive(Debug, Clone)]
pub struct Bar(Option<ProgressBar>, Instant);

impl Bar {
    /// A bar that is shown from the first update on, and full after `length`.
    pub fn new(length: Duration) -> Self {
        let bar = || {
            let bar = ProgressBar::new(length.as_millis() as u64);
            let style = ProgressStyle::with_template("{bar:30} {prefix}\n{msg}");
            bar.set_style(style.expect("the template is valid"));
            bar
        };
        Self(stderr().is_terminal().then(bar), Instant::now())
    }

    /// Shows what happens now.
    pub fn tell(&self, what: &str) {
        match &self.0 {
            Some(bar) => {
                bar.set_prefix(what.to_owned());
                bar.set_message("");
            }
            None => print_error(format_args!(
                "{:5.1} s  {what}",
                self.1.elapsed().as_secs_f64()
            )),
        }
    }

    /// Removes the bar from the terminal.
    pub fn erase(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Writes to stderr, above the bar.
impl Write for Bar {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.write_all(text).map(|()| text.len())
    }

    fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        let text = for_stderr(&String::from_utf8_lossy(text));
        let text = text.as_bytes();
        match &self.0 {
            Some(bar) => bar.suspend(|| stderr().write_all(text)),
            None => stderr().write_all(text),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

/// What the server refused.
pub enum Refused {
    /// The manager refused, and counted it.
    By(Manager),
    /// The server without the manager refuses nothing until it crashes.
    ByCrash,
}

/// Displays the progress of a run.
pub struct Progress {
    /// The bar.
    pub bar: Bar,
    /// The counters of server and clients.
    pub tally: Arc<Tally>,
    /// What the server refused.
    pub refused: Refused,
}

impl Progress {
    /// Updates the display periodically, until it is dropped.
    pub async fn show(self, stage: watch::Receiver<Stage>) {
        let every = Duration::from_millis(if self.bar.0.is_some() { 100 } else { 1000 });
        let begin = self.bar.1;
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let stage = stage.borrow().describe();
            let run = match &self.refused {
                Refused::By(_) => "with the manager",
                Refused::ByCrash => "without the manager",
            };
            match &self.bar.0 {
                Some(bar) => {
                    bar.set_position(begin.elapsed().as_millis() as u64);
                    bar.set_prefix(format!("{run}, {stage}"));
                    bar.set_message(fitting(self.counts(), stderr_columns()));
                }
                None => {
                    let seconds = begin.elapsed().as_secs_f64();
                    let counts = self.counts().join(", ");
                    print_error(format_args!("{seconds:5.1} s  {run}, {stage}: {counts}"));
                }
            }
        }
    }

    /// The counters, the most important first.
    fn counts(&self) -> Vec<String> {
        let Tally { server, honest, .. } = &*self.tally;
        let mut counts = vec![
            format!("{} open", grouped(server.admitted.now())),
            format!("{} echoes", grouped(honest.echoes.get())),
        ];
        match &self.refused {
            Refused::By(manager) => {
                // Only a limits file limits the addresses of the demo.
                let by_address = refused_by_address(manager);
                if by_address > 0 {
                    counts.push(format!("{} refused by address", grouped(by_address)));
                }
                let classes = [ScopeClass::Peer, ScopeClass::Transient, ScopeClass::System];
                counts.extend(classes.map(|class| {
                    let refused = connections_refused(&manager.refusals(class));
                    format!("{} refused by {class}", grouped(refused))
                }));
            }
            Refused::ByCrash => {
                counts.push(format!("{} lost", grouped(honest.lost.get())));
                let crashes = server.crashes.get();
                let word = if crashes == 1 { "crash" } else { "crashes" };
                counts.push(format!("{} {word}", grouped(crashes)));
            }
        }
        counts
    }
}

/// As many of the counters as fit into a line: a counter is never cut.
fn fitting(counts: Vec<String>, columns: usize) -> String {
    let mut line = String::new();
    for count in counts {
        let separator = if line.is_empty() { "" } else { ", " };
        if line.len() + separator.len() + count.len() > columns {
            break;
        }
        line.push_str(separator);
        line.push_str(&count);
    }
    line
}

fn stderr_columns() -> usize {
    terminal::size().map_or(80, |(columns, _)| columns.into())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rcmgr_atomic::address::{AddressConfig, AddressLimits, SubnetLimit};
    use rcmgr_atomic::{Direction, Limits, UsesFd};

    use super::*;

    #[test]
    fn refusals_by_address_are_among_the_counters() {
        let mut config = AddressConfig::none();
        config.subnets.v4.push(SubnetLimit {
            prefix_len: 32,
            conns: 0,
        });
        let limits = Limits {
            addresses: AddressLimits::new(config).unwrap(),
            ..Limits::unlimited()
        };
        let manager = Manager::new(limits).unwrap();
        let progress = Progress {
            bar: Bar(None, Instant::now()),
            tally: Arc::default(),
            refused: Refused::By(manager.clone()),
        };
        let by_address = |count: &String| count.ends_with("refused by address");
        assert!(!progress.counts().iter().any(by_address));
        let from: SocketAddr = "192.0.2.7:4001".parse().unwrap();
        let refused = manager.open_connection(Direction::Inbound, UsesFd::Yes, from);
        refused.unwrap_err();
        assert!(progress.counts().contains(&"1 refused by address".into()));
    }

    #[test]
    fn a_narrow_progress_line_has_whole_counters() {
        let counts = || vec!["2,395 open".to_owned(), "133,564 echoes".to_owned()];
        let whole = "2,395 open, 133,564 echoes";
        for columns in 0..40 {
            let line = fitting(counts(), columns);
            assert!(["", "2,395 open", whole].contains(&&*line), "{line}");
            assert!(line.len() <= columns);
        }
        assert_eq!(fitting(counts(), whole.len()), whole);
    }
}
