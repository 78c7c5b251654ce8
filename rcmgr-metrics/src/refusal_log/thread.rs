//! Runs a log on a thread of its own.

use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::log::RefusalLog;

/// After a look there are so many times as long without one.
const REST: u32 = 49;

/// A [`RefusalLog`] that looks by itself, on a thread of its own. Dropped, it says what has not been
/// said, and ends.
#[must_use = "it ends when it is dropped"]
pub struct RefusalLogThread {
    /// Nothing is sent: the thread ends when this is gone.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RefusalLog {
    /// Looks again and again on a thread of its own, until what this returns is dropped; then it says
    /// the rest. There is `every` between two looks, and more where there are so many scopes that they
    /// would take more than a fiftieth of the time.
    ///
    /// # Errors
    ///
    /// If the system has no thread for it.
    pub fn start(self, every: Duration) -> io::Result<RefusalLogThread> {
        RefusalLogThread::start(self, every)
    }
}

impl RefusalLogThread {
    fn start(log: RefusalLog, every: Duration) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("rcmgr-refusals".to_owned());
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread.spawn(move || run(log, every, &stopped))?),
        })
    }
}

fn run(mut log: RefusalLog, every: Duration, stopped: &Receiver<()>) {
    let mut wait = every;
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let begin = log.clock.now();
        log.look();
        let took = log.clock.now().saturating_sub(begin);
        wait = every.max(took.saturating_mul(REST));
    }
    log.say_rest();
}

impl Drop for RefusalLogThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, its panic was told already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for RefusalLogThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusalLogThread").finish_non_exhaustive()
    }
}
