//! The counters of server and clients, independent of the manager's.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::latency::Recorder;

/// A counter that only increases.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

// Relaxed: a counter is read on its own, or after the counting tasks have been joined.
impl Count {
    /// Adds one.
    pub fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A current number and its peak.
#[derive(Debug, Default)]
pub struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

/// One unit of a [`Gauge`], until it is dropped.
#[derive(Debug)]
pub struct Entered<'a>(&'a Gauge);

impl Gauge {
    /// Adds one, until the returned guard is dropped.
    pub fn enter(&self) -> Entered<'_> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Entered(self)
    }

    /// The current number.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The peak.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All counters.
#[derive(Debug, Default)]
pub struct Tally {
    /// The counters of the server.
    pub server: ServerTally,
    /// The counters of honest clients.
    pub honest: ClientTally,
    /// The counters of flooding clients. An attempt that the end of the flood cancels is not
    /// counted.
    pub flooding: ClientTally,
    /// What the honest clients got while the server was flooded.
    pub under_flood: Answers,
    /// Errors of the operating system, by message.
    pub failures: Failures,
}

/// The answers that clients got.
#[derive(Debug, Default)]
pub struct Answers {
    /// Requests with an echo.
    pub answered: Count,
    /// Tries without an echo: a connection or a request that failed. The client tries again.
    pub unanswered: Count,
    /// The times from the first try of a request to its echo, or to the end of the flood.
    pub waits: Recorder,
}

impl Answers {
    /// The part of the tries that were answered, from 0 to 1; `None` if there were none.
    pub fn share(&self) -> Option<f64> {
        let answered = self.answered.get();
        let tried = answered + self.unanswered.get();
        (tried > 0).then(|| answered as f64 / tried as f64)
    }
}

/// The counters of the server.
#[derive(Debug, Default)]
pub struct ServerTally {
    /// Accepted sockets.
    pub accepted: Count,
    /// Connections that the manager opened.
    pub opened: Count,
    /// Connections that were refused at the opening, for the memory of their buffer, or when their
    /// peer or service was set.
    pub refused: Count,
    /// Connections that ended before the hello.
    pub without_hello: Count,
    /// Connections with a peer and the service.
    pub admitted: Gauge,
    /// Requests whose memory was refused.
    pub busy: Count,
    /// Crashes of the server without the manager: its memory was exhausted.
    pub crashes: Count,
    /// The highest memory usage of a connection, in bytes.
    pub largest_connection: AtomicU64,
    /// The time of the manager to admit: opening, setting the peer, setting the service.
    pub admission: Recorder,
    /// The time of the manager for the refused call.
    pub refusal: Recorder,
}

/// The counters of one kind of clients.
#[derive(Debug, Default)]
pub struct ClientTally {
    /// Connections that the server welcomed.
    pub welcomed: Count,
    /// Connections that the server closed before that.
    pub turned_away: Count,
    /// Connections that failed in the operating system.
    pub failed: Count,
    /// Connections that the server closed before the end.
    pub lost: Count,
    /// Requests with an echo.
    pub echoes: Count,
    /// Requests that the server had no memory for.
    pub busy: Count,
    /// The round-trip times of requests.
    pub round_trip: Recorder,
}

/// Errors of the operating system, by message.
#[derive(Debug, Default)]
pub struct Failures(Mutex<BTreeMap<String, u64>>);

impl Failures {
    /// Counts an error of an action.
    pub fn note(&self, tried: &str, error: &io::Error) {
        let mut failures = self.0.lock().expect("no panic while the lock is held");
        *failures.entry(format!("{tried}: {error}")).or_default() += 1;
    }

    /// The messages and their counts.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0
            .lock()
            .expect("no panic while the lock is held")
            .clone()
    }
}
