//! What a trace says: usage, peaks and refusals of every scope; and what other limits would have made
//! of it.
//!
//! [`replay`] reads the files of a trace and gives a [`Report`]. Memory is bounded by the scopes that
//! live at the same time, not by the length of the files: a scope that is gone counts in its class,
//! and of those worth a line of their own a thousand or two are kept. The course of usage has so
//! many [points](Options::points) for a few scopes; since these are known only at the end, the files
//! are then read once more.
//!
//! # What if
//!
//! With [`Options::what_if`], every operation of the trace is asked again, in its order and one after
//! the other, under the limits given: memory by its priority's threshold, streams and connections in
//! their direction and in total, file descriptors. This is what is assumed:
//!
//! - **Events that stand together are one operation**, asked of several scopes (see
//!   [`trace`](crate::trace)): if one of them would refuse, none of them is charged. Where several
//!   threads wrote a trace at once, an operation may be torn apart; its parts then count as
//!   operations of their own.
//! - **A scope's limit** is found by its class, its service's name, its protocol's id, or its peer. A
//!   scope whose name is not known has none. A span has its owner's.
//! - **What would have been refused is not there, and whoever asked goes on without it.** Memory:
//!   when it is given back in the trace, that counts for nothing. Which release that is, is told by
//!   its size: one as large as a reservation that would have been refused is the release of that;
//!   any other takes first what would have been there. A connection or stream that would have been
//!   refused asks for nothing more: what it did in the trace counts as *not asked*.
//! - **Whoever would have been refused a peer, a protocol or a service is closed at once**, with all
//!   that it holds. Which connection or stream it was, the trace does not say: it is taken to be the
//!   latest one that waits for it, holds the same, and is of the same peer.
//! - **A refusal that would have been granted is counted, and nothing is charged**: nobody knows how
//!   long it would have stayed. With limits that grant much more, usage would therefore have been
//!   higher than it is taken to be, and some of what is granted here might have been refused then.
//! - **Of a refused operation, the scopes behind the one that refused** are not in the trace. Of a
//!   connection or stream that was to be opened, transient and system are asked as well, and of
//!   memory system; others are taken to grant. Who asked for memory that was refused is not in the
//!   trace either: it is asked again even if its stream would not have been there.
//! - **What a scope held before the trace begins is there**, as far as the totals of events tell.
//! - Subnet and rate limits are not in a trace.

mod chart;
mod html;
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

pub use over_time::OverTime;
pub use report::{Blocked, Class, Report, Scope};
pub use suggest::HEADROOM;
pub use tally::{Peak, Refused};
pub use what_if::{Asked, Change, ScopeChanges, WhatIfReport};

#[cfg(feature = "sink")]
pub(crate) use tally::six;

use operation::Assembler;
use over_time::Follower;
use summary::Summary;
use what_if::WhatIf;

use crate::trace::{Event, Notes, TraceError, TraceReader};

/// What is wanted of a replay.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many scopes are reported, apart from system and transient.
    pub top: usize,
    /// How many points the course of usage has; none if 0, and then the files are read only once.
    pub points: usize,
    /// Other limits to ask.
    pub what_if: Option<Asked>,
}

impl Default for Options {
    /// Ten scopes, and no course of usage.
    fn default() -> Self {
        Self {
            top: 10,
            points: 0,
            what_if: None,
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of the files were read.
    pub done: u64,
    /// How many are to be read.
    pub of: u64,
}

/// Reads files, which are one trace in this order, and says what is in them.
///
/// Every few thousand events `progress` is told how far it is.
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
/// If a file can't be read, or has a line that is no event: see [`TraceReader`].
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
    let (begin, end) = replay.span.unwrap_or_default();
    let mut report = replay.finish(reader.notes().clone());
    if options.points > 0 && !report.scopes.is_empty() {
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

/// How many events there are between two reports of progress.
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

/// A replay of events as they come.
#[derive(Debug)]
struct Replay {
    top: usize,
    summary: Summary,
    span: Option<(i64, i64)>,
    what_if: Option<(Assembler, WhatIf)>,
}

impl Replay {
    fn new(options: &Options) -> Self {
        let what_if = options.what_if.clone();
        Self {
            top: options.top,
            summary: Summary::default(),
            span: None,
            what_if: what_if.map(|asked| (Assembler::default(), WhatIf::new(asked))),
        }
    }

    fn push(&mut self, time: i64, event: Event) {
        let (begin, end) = self.span.unwrap_or((time, time));
        self.span = Some((begin.min(time), end.max(time)));
        self.summary.push(&event);
        if let Some((assembler, what_if)) = &mut self.what_if {
            assembler.push(event, &mut |operation| what_if.apply(operation));
        }
    }

    fn finish(self, read: Notes) -> Report {
        let time = |nanos: i64| Some(Timestamp::from_nanosecond(nanos.into()).ok()?.to_string());
        let what_if = self.what_if.map(|(mut assembler, mut what_if)| {
            assembler.flush(&mut |operation| what_if.apply(operation));
            what_if.finish(self.top)
        });
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
            classes: summary.classes(),
            scopes: summary.scopes(self.top),
            over_time: Vec::new(),
            what_if,
        }
    }
}

impl Report {
    /// Limits under which all that the trace has would have been granted, with headroom: each class
    /// of scopes gets what the one of its scopes needed that needed most, times `headroom`, rounded
    /// up. See [`HEADROOM`] for how much that should be. Less than 1 counts as 1.
    ///
    /// For memory, what was needed is what the limit must be for a reservation's priority to be
    /// enough. A refused request counts as if it had been granted at that moment; how many of them
    /// would have been there together is not in a trace. What was never used is left to defaults.
    pub fn suggest(&self, headroom: f64) -> PartialLimits {
        suggest::suggest(self, headroom)
    }
}
