//! What server and clients count on their own, besides what the manager counts.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::latency::Recorder;

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

// Relaxed: counts are read by themselves, or after the tasks that count have been joined.
impl Count {
    /// Counts one more.
    pub fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many it were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are at once, and the most there ever were.
#[derive(Debug, Default)]
pub struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

/// One of those that a [`Gauge`] counts, until it is dropped.
#[derive(Debug)]
pub struct Entered<'a>(&'a Gauge);

impl Gauge {
    /// Counts one more, as long as what it returns is held.
    pub fn enter(&self) -> Entered<'_> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Entered(self)
    }

    /// How many there are.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The most there were at once.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// At the server's end.
    pub server: ServerTally,
    /// At the end of honest clients.
    pub honest: ClientTally,
    /// At the end of flooding clients; what a flood's end cuts short is not in it.
    pub flooding: ClientTally,
    /// What the machine refused rather than the manager, by what it said.
    pub failures: Failures,
}

/// What the server saw.
#[derive(Debug, Default)]
pub struct ServerTally {
    /// Sockets accepted.
    pub accepted: Count,
    /// Connections that the manager opened.
    pub opened: Count,
    /// Connections refused when opened, for want of memory to begin with, or when their peer or
    /// service was set.
    pub refused: Count,
    /// Connections that ended before they said who they are.
    pub nameless: Count,
    /// Connections with a peer and the service.
    pub admitted: Gauge,
    /// Requests for which memory was refused.
    pub busy: Count,
    /// The most memory that one connection ever had, in bytes.
    pub largest_connection: AtomicU64,
    /// What the manager took for an admission: opening, setting the peer, setting the service.
    pub admission: Recorder,
    /// What the manager took for the call that it refused.
    pub refusal: Recorder,
}

/// What clients of a kind saw.
#[derive(Debug, Default)]
pub struct ClientTally {
    /// Connections that the server welcomed.
    pub welcomed: Count,
    /// Connections that the server closed before that.
    pub turned_away: Count,
    /// Connections that the machine did not let happen.
    pub failed: Count,
    /// Connections that the server did not keep to the end.
    pub lost: Count,
    /// Requests that came back.
    pub echoes: Count,
    /// Requests for which the server had no memory.
    pub busy: Count,
    /// What a request took to come back.
    pub round_trip: Recorder,
}

/// Errors of the operating system, by what they say.
#[derive(Debug, Default)]
pub struct Failures(Mutex<BTreeMap<String, u64>>);

impl Failures {
    /// Counts an error of what was tried.
    pub fn note(&self, tried: &str, error: &io::Error) {
        let mut failures = self.0.lock().expect("nobody panics while counting");
        *failures.entry(format!("{tried}: {error}")).or_default() += 1;
    }

    /// What was said, and how often.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().expect("nobody panics while counting").clone()
    }
}
