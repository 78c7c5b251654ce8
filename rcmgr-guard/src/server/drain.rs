//! The end of a server: it stops accepting, waits, closes idle sessions one by one, and cuts the rest.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::control::Control;
use crate::relay::{Activity, Cut};

/// How long the end waits after the cut: a task that does not block its thread ends long before.
const AFTER_CUT: Duration = Duration::from_secs(1);
/// The part of the time in which idle sessions are closed; the rest is for their ends to arrive.
const SPREAD: f64 = 0.9;
/// A session is idle after this time without a byte, or after a tenth of the drain.
const IDLE: Duration = Duration::from_secs(1);
/// The shortest and the longest time between two looks at the sessions.
const TICK: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];

/// How the sessions of a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Idle sessions that were closed, spread over the time.
    pub closed_idle: usize,
    /// Sessions that were cut at the deadline, or by [`cut`](crate::Server::cut), also before the drain.
    pub cut: usize,
    /// Sessions that have not ended after the cut. It is not 0 only if a thread hangs.
    pub left: usize,
}

/// Waits until all sessions have ended, at most for `within`; then cuts the rest.
pub(super) fn drain(control: &Control, within: Duration) -> Drained {
    let shared = &control.shared;
    shared.ending.cancel();
    let start = Instant::now();
    let tick = (within / 100).clamp(TICK[0], TICK[1]);
    let mut closed_idle = 0;
    while shared.open() > 0 && !shared.is_cut() {
        let elapsed = start.elapsed();
        let Some(left) = within.checked_sub(elapsed).filter(|left| !left.is_zero()) else {
            break;
        };
        let part = elapsed.as_secs_f64() / (SPREAD * within.as_secs_f64());
        closed_idle += close_idle(control, part, closed_idle, IDLE.min(within / 10));
        control.pause(tick.min(left));
    }
    // Also if nothing is left: a session cannot begin any more.
    control.cut();
    let start = Instant::now();
    while shared.open() > 0 && start.elapsed() < AFTER_CUT {
        std::thread::sleep(TICK[0]);
    }
    Drained {
        closed_idle,
        // Also those of a cut that came before this drain began.
        cut: control.take_cut_sessions(),
        left: shared.open(),
    }
}

/// Closes idle sessions, so that of all that were closed or are idle `part` is closed. The longest idle
/// are first. Returns how many it closes.
fn close_idle(control: &Control, part: f64, closed: usize, idle: Duration) -> usize {
    let now = Instant::now();
    let mut sessions: Vec<(Instant, Arc<Activity>)> = Vec::new();
    for table in control.tables() {
        table.for_each(|entry| {
            let last = entry.activity.last();
            if !entry.activity.is_cut() && now.saturating_duration_since(last) >= idle {
                sessions.push((last, Arc::clone(&entry.activity)));
            }
        });
    }
    let all = closed + sessions.len();
    let due = ((part * all as f64) as usize).min(all);
    let count = due.saturating_sub(closed);
    sessions.sort_unstable_by_key(|(last, _)| *last);
    for (_, activity) in &sessions[..count] {
        activity.cut(Cut::Drained);
    }
    count
}
