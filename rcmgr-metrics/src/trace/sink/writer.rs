//! The thread that writes a trace.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::file::TraceFiles;
use super::scopes::Scopes;
use super::shared::{CLOSED, FINISHED, GAP, OPEN, Queued, Shared};

/// How long the writer lets records gather. To wake it for each would cost those that reserve more
/// than the record does. In that time the default queue has room for six million records a second,
/// which is more than the writer can write.
const PAUSE: Duration = Duration::from_millis(10);

/// After how long what was written can be read from the file.
const FLUSH: Duration = Duration::from_secs(1);

/// Writes what is in the queue.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    files: TraceFiles,
    scopes: Scopes,
    /// When the sink was made.
    started: SystemTime,
    flushed: Instant,
    is_flushed: bool,
    failure: Option<io::Error>,
}

impl Writer {
    /// One that writes to these files.
    pub fn new(shared: Arc<Shared>, files: TraceFiles) -> Self {
        Self {
            shared,
            files,
            scopes: Scopes::default(),
            started: SystemTime::now(),
            flushed: Instant::now(),
            is_flushed: true,
            failure: None,
        }
    }

    /// Writes until the sink is closed. The first error that there was.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            self.write_queued();
            match self.shared.state.load(Ordering::SeqCst) {
                GAP => self.end_gap(),
                CLOSED => break,
                _ => {
                    self.rest();
                    thread::park_timeout(PAUSE);
                }
            }
        }
        // Who looked at the state before may still push.
        self.write_queued();
        self.shared.state.store(FINISHED, Ordering::SeqCst);
        self.write_queued();
        self.add_missed();
        let ended = self.files.finish();
        self.note(ended);
        self.failure.map_or(Ok(()), Err)
    }

    fn write_queued(&mut self) {
        while let Some(queued) = self.shared.queue.pop() {
            self.write(queued);
        }
    }

    fn write(&mut self, Queued { nanos, record }: Queued) {
        if self.failure.is_some() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.is_flushed = false;
        let time = self.started + Duration::from_nanos(nanos);
        let mut written = Ok(());
        if self.files.is_full() && record.has_limits() {
            written = self
                .files
                .rotate()
                .and_then(|()| self.scopes.begin_anew(&record, time, &mut self.files));
        }
        let written = written.and_then(|()| self.scopes.write(&record, time, &mut self.files));
        match written {
            Ok(()) => self.shared.written.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.shared.dropped.fetch_add(1, Ordering::Relaxed),
        };
        self.note(written);
    }

    /// The queue is empty: operations may be recorded again, after what was missed has been added.
    fn end_gap(&mut self) {
        let ended =
            self.shared
                .state
                .compare_exchange(GAP, OPEN, Ordering::SeqCst, Ordering::SeqCst);
        if ended.is_ok() {
            self.add_missed();
        }
    }

    /// Adds what was missed. (A thread that looked at the state before the gap and pushes only now
    /// is added later: it may be that a total comes out too low for that long, but never below zero.)
    fn add_missed(&mut self) {
        // A few steps each: who comes now sees that the gap has ended.
        while self.shared.missing.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        let time = self.started + self.shared.started.elapsed();
        if self.failure.is_none() {
            let written = self.scopes.add_missed(time, &mut self.files);
            self.note(written);
        }
    }

    /// Nothing is to be done at the moment.
    fn rest(&mut self) {
        if self.failure.is_some() {
            return;
        }
        if !self.is_flushed && self.flushed.elapsed() >= FLUSH {
            let flushed = self.files.flush();
            self.note(flushed);
            self.is_flushed = true;
            self.flushed = Instant::now();
        }
    }

    /// The first error is the last: nothing is written after it.
    fn note(&mut self, written: io::Result<()>) {
        if let Err(why) = written
            && self.failure.is_none()
        {
            tracing::error!("the trace ends here, it can't be written: {why}");
            self.scopes = Scopes::default();
            self.failure = Some(why);
        }
    }
}
