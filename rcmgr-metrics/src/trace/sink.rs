//! The sink: writes a trace of what a manager does, while it does it.
//!
//! Whoever reserves puts one record of the operation into a bounded queue, and goes on. A thread takes
//! the records out, makes the events of them and writes these. What each scope holds is added up by
//! that thread from what it was told, so totals agree with the order of the file whatever threads do.
//!
//! Where the queue is full a *gap* begins. Until the writer has emptied the queue, operations are
//! counted as dropped, and what they change is noted on the scopes themselves. At the end of the gap
//! the writer adds what was noted, and says what each scope that was concerned holds now. So the
//! totals after a gap are right again, and nobody has waited.

mod file;
mod lines;
mod scopes;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use rcmgr_atomic::record::{Record, Recorder};

use file::TraceFiles;
use writer::Writer;

/// Writes a trace of what one manager does, as [`replay`](crate::replay) and other programs read it.
///
/// It never makes a reservation wait: what the queue has no room for is not written, and
/// [counted](Self::dropped). A manager with a sink charges every scope for each operation, without
/// prepaid credit.
///
/// ```
/// use rcmgr_atomic::{Manager, Direction, Endpoint, ResourceManager, UsesFd};
/// use rcmgr_metrics::replay::{Options, replay};
/// use rcmgr_metrics::trace::TraceSink;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("trace.json.gz");
/// let sink = TraceSink::builder(&path).rotate_at(64 << 20).keep(4).start()?;
/// let manager = Manager::builder().recorder(sink.recorder()).build()?;
/// let conn = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
/// sink.close()?;
///
/// let report = replay(&[path], &Options::default(), &mut |_| {})?;
/// assert_eq!(report.system, [0, 0, 1, 0, 1, 0]);
/// # drop(conn);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a sink ends its trace when it is dropped"]
pub struct TraceSink {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<io::Result<()>>>,
}

/// How a sink is made: see [`TraceSink::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct TraceSinkBuilder {
    path: PathBuf,
    queue: usize,
    rotate_at: Option<u64>,
    keep: usize,
}

/// What a sink has counted, for who does not own it. It outlives the sink.
#[derive(Debug, Clone)]
pub struct TraceCounters(Arc<Shared>);

impl TraceSinkBuilder {
    /// How many records the queue has room for, at least one: 65536 if nothing else is said. Each
    /// takes less than 128 bytes.
    pub fn queue(mut self, records: usize) -> Self {
        self.queue = records.max(1);
        self
    }

    /// From how many bytes on, as they lie on the disk, a file is put aside and another begun. Without
    /// it there is one file, however long it gets.
    ///
    /// `trace.json.gz` becomes `trace.1.json.gz`, that one `trace.2.json.gz`, and so on. What is there
    /// under that name when the sink starts is put aside, too.
    pub fn rotate_at(mut self, bytes: u64) -> Self {
        self.rotate_at = Some(bytes);
        self
    }

    /// How many files that were put aside are kept: 5 if nothing else is said. The oldest go.
    pub fn keep(mut self, files: usize) -> Self {
        self.keep = files;
        self
    }

    /// Makes the file, and starts the thread that writes it.
    ///
    /// # Errors
    ///
    /// If either can't be done.
    pub fn start(self) -> io::Result<TraceSink> {
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(self.queue),
            state: AtomicU8::new(OPEN),
            missing: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            started: Instant::now(),
        });
        let files = TraceFiles::create(self.path, self.rotate_at, self.keep)?;
        let writer = Writer::new(shared.clone(), files);
        let thread = thread::Builder::new().name("rcmgr-trace".into());
        Ok(TraceSink {
            shared,
            writer: Some(thread.spawn(|| writer.run())?),
        })
    }
}

impl TraceSink {
    /// A sink that writes to this file, with more to choose. A file that is there already is written
    /// over, if there is no rotation.
    pub fn builder(path: impl AsRef<Path>) -> TraceSinkBuilder {
        TraceSinkBuilder {
            path: path.as_ref().to_owned(),
            queue: 1 << 16,
            rotate_at: None,
            keep: 5,
        }
    }

    /// A sink that writes to this file.
    ///
    /// # Errors
    ///
    /// As [`TraceSinkBuilder::start`].
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::builder(path).start()
    }

    /// What the manager is made with. It is for one manager: scopes of several would have the same
    /// names.
    pub fn recorder(&self) -> Arc<dyn Recorder> {
        self.shared.clone()
    }

    /// How many operations were written.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// How many operations were not written, because the queue was full or the file could not be
    /// written any more.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Both numbers as they are whenever they are asked, also after the end.
    pub fn counters(&self) -> TraceCounters {
        TraceCounters(self.shared.clone())
    }

    /// Ends the trace: writes what is in the queue, and the file's end. The manager goes on, and is
    /// not recorded any more. Dropping the sink does the same.
    ///
    /// # Errors
    ///
    /// The first error that there was in writing: what came after it is not in the file.
    pub fn close(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        self.shared.state.store(CLOSED, Ordering::SeqCst);
        writer.thread().unpark();
        let ended = writer.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the trace's writer panicked")))
    }
}

impl Drop for TraceSink {
    fn drop(&mut self) {
        // An error was logged when it came.
        let _ = self.end();
    }
}

impl TraceCounters {
    /// As [`TraceSink::written`].
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// As [`TraceSink::dropped`].
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

/// Records go into the queue.
const OPEN: u8 = 0;
/// A gap: the queue was full, and the writer has not emptied it since.
const GAP: u8 = 1;
/// Nothing is recorded any more.
const CLOSED: u8 = 2;
/// ... and nobody looks into the queue.
const FINISHED: u8 = 3;

/// What the sink, the manager and the writer share.
#[derive(Debug)]
struct Shared {
    queue: ArrayQueue<Queued>,
    state: AtomicU8,
    /// How many threads are noting that they were dropped.
    missing: AtomicUsize,
    /// Operations.
    written: AtomicU64,
    dropped: AtomicU64,
    started: Instant,
}

/// A record, and how many nanoseconds after the start it was.
#[derive(Debug)]
struct Queued {
    nanos: u64,
    record: Record,
}

impl Recorder for Shared {
    #[inline]
    fn record(&self, mut record: Record) {
        loop {
            // Acquire: pairs with the writer that ends a gap. Who sees that it has ended comes after
            // what was noted in it.
            let state = self.state.load(Ordering::Acquire);
            if state >= CLOSED {
                return;
            }
            if state == GAP {
                match self.miss(record) {
                    Ok(()) => return,
                    Err(back) => record = back,
                }
                continue;
            }
            let nanos = self.started.elapsed().as_nanos() as u64;
            match self.queue.push(Queued { nanos, record }) {
                Ok(()) => break,
                Err(back) => record = back.record,
            }
            // Full: a gap begins, unless the sink is closed.
            let (order, failed) = (Ordering::SeqCst, Ordering::SeqCst);
            let _ = self.state.compare_exchange(OPEN, GAP, order, failed);
        }
        // SeqCst, on both sides: either the writer finds what was pushed after it has said that it
        // is finished, or that is seen here.
        if self.state.load(Ordering::SeqCst) == FINISHED {
            self.discard();
        }
    }
}

impl Shared {
    /// Notes what is dropped, and gives it back if the gap has ended.
    #[cold]
    fn miss(&self, record: Record) -> Result<(), Record> {
        // SeqCst: who ends the gap waits for those that are counted here, and whoever is counted
        // later sees that it has ended.
        self.missing.fetch_add(1, Ordering::SeqCst);
        let is_in_gap = self.state.load(Ordering::SeqCst) == GAP;
        let missed = match is_in_gap {
            true => {
                record.miss();
                self.dropped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            false => Err(record),
        };
        self.missing.fetch_sub(1, Ordering::SeqCst);
        missed
    }

    /// What nobody will write is let go: it may hold the manager, which holds this.
    #[cold]
    fn discard(&self) {
        while self.queue.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_as_much_room_as_is_said() {
        // With what the queue adds to each.
        let room = size_of::<Queued>() + size_of::<usize>();
        assert!(room < 128, "{room}");
    }
}
