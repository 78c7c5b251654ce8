//! The writer thread.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::file::TraceFiles;
use super::scopes::Scopes;
use super::shared::{CLOSED, FINISHED, GAP, OPEN, Queued, Shared};

/// The pause in which records collect in the queue. Waking the writer for each record would cost
/// the reserving thread more than the record itself. In this time the default queue has room for
/// six million records a second, more than the writer can write.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest time until written events can be read from the file.
const FLUSH: Duration = Duration::from_secs(1);

/// Writes the records of the queue.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    files: TraceFiles,
    scopes: Scopes,
    /// The start time of the sink.
    started: SystemTime,
    flushed: Instant,
    is_flushed: bool,
    failure: Option<io::Error>,
}

impl Writer {
    /// A writer to these files.
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

    /// Writes until the sink is closed. Returns the first error.
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
        // A thread that read the state before the sink was closed may still push a record.
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

    /// Ends a gap: the queue is empty, so operations can be recorded again. Then adds the missed
    /// changes.
    fn end_gap(&mut self) {
        let ended =
            self.shared
                .state
                .compare_exchange(GAP, OPEN, Ordering::SeqCst, Ordering::SeqCst);
        if ended.is_ok() {
            self.add_missed();
        }
    }

    /// Adds the missed changes. (A thread that read the state before the gap may push its record
    /// only now. It is added later; until then a total may be too low, but never below zero.)
    fn add_missed(&mut self) {
        // Each thread needs only a few steps, and threads that come now see the end of the gap.
        while self.shared.missing.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        let time = self.started + self.shared.started.elapsed();
        if self.failure.is_none() {
            let written = self.scopes.add_missed(time, &mut self.files);
            self.note(written);
        }
    }

    /// The queue is empty: flushes if it is time.
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

    /// Keeps the first error. Nothing is written after it.
    fn note(&mut self, written: io::Result<()>) {
        if let Err(why) = written
            && self.failure.is_none()
        {
            tracing::error!("the trace ends here, because writing failed: {why}");
            self.scopes = Scopes::default();
            self.failure = Some(why);
        }
    }
}
