//! The replay of a trace: usage, peaks and refusals of every scope, and the effect that other
//! limits would have had.
//!
//! [`replay`] reads the files of a trace and returns a [`Report`]. Memory is bounded by the number
//! of scopes that are live at the same time, not by the length of the files. A destroyed scope is
//! added to its class; only the one or two thousand most notable destroyed scopes are kept. Usage
//! over time has a fixed number of [points](Options::points) and is reported for a few scopes.
//! These are only known at the end, so the files are then read a second time. The time is in
//! proportion to the number of events.
//!
//! # What if
//!
//! With [`Options::what_if`], every operation of the trace is checked again under other limits, one
//! after the other in the order of the trace: memory against the threshold of its priority, streams
//! and connections by direction and in total, and file descriptors. The assumptions are:
//!
//! - **Adjacent events form one operation** on several scopes (see [`trace`](crate::trace)). If one
//!   of the scopes would refuse, none of them is charged. If several threads wrote a trace at once,
//!   an operation may be torn apart; its parts then count as separate operations.
//! - **The limit of a scope** follows from its class and its service's name, its protocol's id, or
//!   its peer. A scope whose name is unknown has no limit. A span has the limit of its owner.
//! - **A refused request has no effect, and the program continues without it.** Memory: its release
//!   in the trace is ignored. The size decides which release that is: a release of the same size as
//!   a refused reservation belongs to it; any other release first takes memory that was granted. A
//!   refused connection or stream makes no more requests: its later operations count as *not
//!   asked*.
//! - **A connection or stream that is refused a peer, a protocol or a service is closed at once**,
//!   and releases all that it holds. The trace does not say which connection or stream it was. The
//!   replay takes the latest one that waits for it, holds the same amounts, and has the same peer.
//! - **A refusal that would now be granted is counted, but not charged**, because its duration is
//!   unknown. So with much higher limits, real usage would have been higher than in the replay, and
//!   some of the requests granted here might have been refused.
//! - **For a refused operation, the scopes after the one that refused** are not in the trace. If a
//!   connection, stream or span refused, the rest of its path is checked as well. If a shared scope
//!   refused, transient and system are checked for an opened connection or stream, and system for
//!   memory. The other scopes are assumed to grant. The requester of memory that a shared scope
//!   refused is not in the trace either: its request is checked again even if its stream would not
//!   exist.
//! - **Usage from before the start of the trace is included**, as far as the totals of events show
//!   it.
//! - Traces do not contain subnet and rate limits.

mod addresses;
mod html;
mod needs;
#[doc(hidden)]
pub mod operation;
mod over_time;
mod report;
mod rules;
mod scope;
mod suggest;
mod summary;
mod tally;
mod top;
mod what_if;

use std::path::PathBuf;

use jiff::Timestamp;
use rcmgr_config::PartialLimits;

pub use addresses::SubnetNeed;
pub use over_time::OverTime;
pub use report::{Blocked, Class, Report, Scope};
pub use suggest::HEADROOM;
pub use tally::{Peak, Refused};
pub use what_if::{Change, ReplayLimits, ScopeChanges, WhatIfReport};

use operation::Assembler;
use over_time::Follower;
use summary::Summary;
use what_if::WhatIf;

use crate::json;
use crate::trace::{Event, Notes, TraceError, TraceReader};

/// The options of a replay.
#[derive(Debug, Clone)]
pub struct Options {
    /// The number of scopes to report, besides system and transient.
    pub top: usize,
    /// The number of points of usage over time. With 0 it is left out, and the files are read only
    /// once.
    pub points: usize,
    /// Other limits to check the operations against.
    pub what_if: Option<ReplayLimits>,
}

impl Default for Options {
    /// Ten scopes, and no usage over time.
    fn default() -> Self {
        Self {
            top: 10,
            points: 0,
            what_if: None,
        }
    }
}

/// The progress of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The number of bytes read so far.
    pub done: u64,
    /// The number of bytes to read in total.
    pub of: u64,
}

/// Reads the files of a trace, the oldest first, and summarizes them.
///
/// Calls `progress` every few thousand events.
///
/// ```
/// use rcmgr_metrics::replay::{Options, replay};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("trace.json");
/// std::fs::write(&path, r#"
/// {"Time":"2026-11-22T01:03:48Z","Type":"start"}
/// {"Time":"2026-11-22T01:03:49Z","Type":"reserve_memory","Name":"system","Priority":255,"Delta":4096,"Memory":4096}
/// {"Time":"2026-11-22T01:03:50Z","Type":"block_add_conn","Name":"peer:p","DeltaIn":1,"ConnsIn":8}
/// "#)?;
/// let report = replay(&[path], &Options::default(), &mut |_| {})?;
/// assert_eq!(report.system, [0, 0, 0, 0, 0, 4096]);
/// let [blocked] = report.blocked_resources.as_slice() else { panic!() };
/// assert_eq!((blocked.scope, blocked.dir, blocked.value), ("peer", "inbound", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If a file cannot be read or has a line that is not an event, or if there is no event at all: see
/// [`TraceReader`].
pub fn replay(
    files: &[PathBuf],
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, TraceError> {
    let passes = 1 + u64::from(options.points > 0);
    let mut replay = Replay::new(options);
    let mut reader = TraceReader::open(files.iter().cloned())?;
    read(&mut reader, 0, passes, progress, |time, event| {
        replay.push(time, event);
    })?;
    let span = replay.span;
    let mut report = replay.finish(reader.notes().clone());
    if let Some((begin, end)) = span
        && options.points > 0
        && !report.scopes.is_empty()
    {
        let names = || report.scopes.iter().map(|scope| scope.name.clone());
        let mut follower = Follower::new(names(), begin, end, options.points);
        let mut reader = TraceReader::open(files.iter().cloned())?;
        read(&mut reader, 1, passes, progress, |time, event| {
            follower.push(time, &event);
        })?;
        report.over_time = follower.finish(names());
    }
    Ok(report)
}

/// The number of events between two calls of `progress`.
const PROGRESS: u64 = 4096;

fn read(
    reader: &mut TraceReader,
    pass: u64,
    passes: u64,
    progress: &mut dyn FnMut(Progress),
    mut push: impl FnMut(i64, Event),
) -> Result<(), TraceError> {
    while let Some(event) = reader.next() {
        let (time, event) = event?;
        push(time, event);
        if reader.notes().events.is_multiple_of(PROGRESS) {
            let all = reader.total_bytes();
            progress(Progress {
                done: pass * all + reader.bytes_read(),
                of: passes * all,
            });
        }
    }
    Ok(())
}

/// The state of a replay.
#[derive(Debug)]
struct Replay {
    top: usize,
    summary: Summary,
    span: Option<(i64, i64)>,
    assembler: Assembler,
    operations: WhatIf,
}

impl Replay {
    fn new(options: &Options) -> Self {
        Self {
            top: options.top,
            summary: Summary::default(),
            span: None,
            assembler: Assembler::default(),
            operations: WhatIf::new(options.what_if.clone()),
        }
    }

    fn push(&mut self, time: i64, event: Event) {
        if !event.time.is_empty() {
            let (begin, end) = self.span.unwrap_or((time, time));
            self.span = Some((begin.min(time), end.max(time)));
        }
        self.summary.push(&event);
        let operations = &mut self.operations;
        self.assembler
            .push(event, &mut |operation| operations.apply(operation));
    }

    fn finish(mut self, read: Notes) -> Report {
        let time = |nanos: i64| Some(Timestamp::from_nanosecond(nanos.into()).ok()?.to_string());
        let mut operations = self.operations;
        self.assembler
            .flush(&mut |operation| operations.apply(operation));
        let (needs, what_if) = operations.finish(self.top);
        let summary = self.summary;
        Report {
            read,
            from: self.span.and_then(|(begin, _)| time(begin)),
            to: self.span.and_then(|(_, end)| time(end)),
            nanos: self.span.map_or(0, |(begin, end)| end.abs_diff(begin)),
            restarts: summary.restarts,
            system: summary.usage("system"),
            transient: summary.usage("transient"),
            blocked_resources: summary.blocked(),
            classes: summary.classes(&needs),
            subnets: summary.subnets(),
            scopes: summary.scopes(self.top),
            over_time: Vec::new(),
            what_if,
        }
    }
}

impl Report {
    /// The whole report in JSON. A number over 2^63 - 1 is written as 2^63 - 1.
    ///
    /// # Panics
    ///
    /// Never: every report can be written as JSON.
    pub fn to_json(&self) -> String {
        let mut text = json::pretty(self);
        text.push('\n');
        text
    }

    /// The whole report as a web page with plots. The page needs no other file.
    pub fn to_html(&self) -> String {
        html::write(self)
    }

    /// Limits that would have granted everything in the trace, with headroom. Each class of scopes
    /// gets the highest need of any of its scopes, times `headroom`, rounded up. See [`HEADROOM`]
    /// for a good value. A value below 1 counts as 1.
    ///
    /// For memory, the need is the limit at which the priority of a reservation is sufficient. A
    /// refused request counts as if it had been granted at that moment, also by the scopes that
    /// would have been asked next; a trace does not show how many refused requests would have
    /// overlapped. A replay under these limits refuses nothing. Resources that were never used are
    /// left to the defaults.
    ///
    /// If peers' ids are IP addresses, there are limits for the connections of an IPv4 address, and
    /// of an IPv6 /56 and /48, too: the highest number at a time, with headroom. Loopback does not
    /// count.
    pub fn suggest(&self, headroom: f64) -> PartialLimits {
        suggest::suggest(self, headroom)
    }
}
