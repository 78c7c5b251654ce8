//! Runs a log on a thread of its own.

use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::log::RefusalLog;

/// The pause after a look is at least this many times as long as the look.
const REST: u32 = 49;

/// A [`RefusalLog`] that runs on its own thread. When it is dropped, it logs the remaining refusals
/// and the thread ends.
#[must_use = "it ends when it is dropped"]
pub struct RefusalLogThread {
    /// Carries no messages: the thread ends when the channel is closed.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RefusalLog {
    /// Starts a thread that looks periodically, until the returned handle is dropped. Then it logs
    /// the remaining refusals. The time between two looks is `every`. It is longer if a look at all
    /// scopes would take more than 2 % of the time.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
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
    log.flush();
}

impl Drop for RefusalLogThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, the panic hook has already reported it.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for RefusalLogThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusalLogThread").finish_non_exhaustive()
    }
}
