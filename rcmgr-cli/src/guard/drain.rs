//! The end of the proxy: connections may go on for a while, and a second signal cuts them.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_guard::Drained;
use tokio::time::{Instant, interval_at};

use super::in_force::InForce;
use super::signals::{Ended, Request, Signals};
use crate::demo::grouped;

/// The time between two lines about the connections that are left.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Ends the proxy after the first signal.
pub async fn drain(proxy: Arc<InForce>, first: Ended, signals: &mut Signals) -> ExitCode {
    let within = proxy.begin_end();
    let name = first.name;
    tracing::info!(
        "{name}: no new connections are accepted; {} may go on for {within:?}; a second signal \
         cuts them at once",
        connections(proxy.open()),
    );
    let draining = Arc::clone(&proxy);
    let mut drained = tokio::task::spawn_blocking(move || draining.server().drain(within));
    let start = Instant::now();
    let mut report = interval_at(start + REPORT_EVERY, REPORT_EVERY);
    let mut second = None;
    let drained = loop {
        tokio::select! {
            drained = &mut drained => break drained,
            request = signals.next() => if let Request::End(signal) = request {
                tracing::warn!("{}: the connections are cut", signal.name);
                second = Some(signal);
                proxy.server().cut();
            },
            _ = report.tick() => tracing::info!(
                "{} left; they are cut in {:.0} s",
                connections(proxy.open()),
                within.saturating_sub(start.elapsed()).as_secs_f64(),
            ),
        }
    };
    let Ok(Drained {
        closed_idle,
        cut,
        left,
        ..
    }) = drained
    else {
        // The panic hook has reported the panic of the thread.
        return ExitCode::FAILURE;
    };
    tracing::info!(
        "the proxy has ended; idle connections closed: {}, connections cut: {}",
        grouped(closed_idle as u64),
        grouped(cut as u64),
    );
    if left > 0 {
        tracing::error!("{left} connections did not end: a thread hangs");
        // Otherwise the process would wait for that thread.
        std::process::exit(1);
    }
    second.map_or(ExitCode::SUCCESS, |signal| signal.status.into())
}

fn connections(count: u64) -> String {
    match count {
        1 => "1 connection".to_owned(),
        count => format!("{} connections", grouped(count)),
    }
}
