//! The sink: writes a trace of a running manager.
//!
//! The thread that runs an operation puts one record into a bounded queue and never blocks. A
//! writer thread takes the records out, converts them to events and writes these. It also sums up
//! the usage of each scope from the records. So the totals agree with the order of events in the
//! file, whatever the order of the threads was.
//!
//! When the queue is full, a *gap* starts. Until the writer has drained the queue, operations are
//! counted as dropped, and their changes are noted on the scopes. At the end of the gap the writer
//! adds the noted changes and writes the new totals of each changed scope. So the totals are
//! correct again after a gap, and no thread has waited.

mod file;
mod known;
mod lines;
mod scopes;
mod shared;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use rcmgr_atomic::record::Recorder;

use file::TraceFiles;
use shared::{CLOSED, Shared};
use writer::Writer;

/// Writes a trace of one manager, for [`replay`](crate::replay) and other programs.
///
/// The sink never blocks a reservation. If the queue is full, records are dropped and
/// [counted](Self::dropped). A manager with a sink does not use prepaid credit: each operation
/// charges every scope.
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

/// The options of a sink: see [`TraceSink::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct TraceSinkBuilder {
    path: PathBuf,
    queue: usize,
    rotate_at: Option<u64>,
    keep: usize,
}

/// The counters of a sink. They outlive the sink.
#[derive(Debug, Clone)]
pub struct TraceCounters(Arc<Shared>);

impl TraceSinkBuilder {
    /// Sets the capacity of the queue in records, at least one; 65536 by default. A record takes
    /// less than 128 bytes.
    pub fn queue(mut self, records: usize) -> Self {
        self.queue = records.max(1);
        self
    }

    /// Sets the size on disk, in bytes, at which a file is rotated. Without this option there is
    /// one file, without a bound on its size.
    ///
    /// `trace.json.gz` becomes `trace.1.json.gz`, that one becomes `trace.2.json.gz`, and so on, up to
    /// the first number without a file. A file that exists at the start is rotated, too.
    pub fn rotate_at(mut self, bytes: u64) -> Self {
        self.rotate_at = Some(bytes);
        self
    }

    /// Sets the number of rotated files to keep; 5 by default. The oldest are deleted. Files after a missing
    /// number stay.
    pub fn keep(mut self, files: usize) -> Self {
        self.keep = files;
        self
    }

    /// Creates the file and starts the writer thread.
    ///
    /// # Errors
    ///
    /// If the file cannot be created or the thread cannot be started, or if the path is a pipe or a
    /// device, which cannot be rotated, and [`rotate_at`](Self::rotate_at) is set.
    pub fn start(self) -> io::Result<TraceSink> {
        let shared = Arc::new(Shared::new(self.queue));
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
    /// The options of a sink that writes to this file. An existing file is overwritten, unless
    /// there is rotation.
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

    /// The recorder to build the manager with. Use it for one manager only, because the scopes of
    /// several managers would have the same names.
    pub fn recorder(&self) -> Arc<dyn Recorder> {
        self.shared.clone()
    }

    /// The number of operations that were written.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// The number of operations that were not written, because the queue was full or writing
    /// failed.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// The two counters above; they stay readable after the end of the sink.
    pub fn counters(&self) -> TraceCounters {
        TraceCounters(self.shared.clone())
    }

    /// Ends the trace: writes the queued records and the end of the file. The manager continues
    /// without being recorded. Dropping the sink does the same.
    ///
    /// # Errors
    ///
    /// The first error of writing. Later events are not in the file.
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
        ended.unwrap_or_else(|_| Err(io::Error::other("the writer of the trace panicked")))
    }
}

impl Drop for TraceSink {
    fn drop(&mut self) {
        // The error was logged when it occurred.
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
