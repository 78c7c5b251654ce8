//! The backends of a listener: they take turns, and another one is tried when one fails.

mod address;
mod failure;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use self::address::Address;
use self::failure::Cause;
use crate::counts::Counters;

/// For how long a backend that failed is tried after the others.
const TRIED_LAST: Duration = Duration::from_secs(1);

/// The backends of a listener.
#[derive(Debug)]
pub(crate) struct Backends {
    all: Box<[Backend]>,
    /// Whose turn it is, counted without end.
    next: AtomicUsize,
    start: Instant,
}

/// A backend, and whether it works.
#[derive(Debug)]
struct Backend {
    name: Arc<str>,
    address: Address,
    /// Until when it is tried last, in milliseconds from the start.
    tried_last_until: AtomicU64,
    is_failing: AtomicBool,
    is_short_of_ports: AtomicBool,
}

/// No backend could be connected to. The log and the counters have the reasons.
#[derive(Debug)]
pub(crate) struct NoBackend;

impl Backends {
    /// The backends with these names, each `host:port`.
    pub(crate) fn new(names: &[Arc<str>]) -> Self {
        let all = names.iter().map(|name| Backend {
            name: name.clone(),
            address: Address::new(name),
            tried_last_until: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            is_short_of_ports: AtomicBool::new(false),
        });
        Self {
            all: all.collect(),
            next: AtomicUsize::new(0),
            start: Instant::now(),
        }
    }

    /// Whether these are the names of the backends.
    pub(crate) fn are(&self, names: &[Arc<str>]) -> bool {
        self.all.iter().map(|backend| &backend.name).eq(names)
    }

    /// Connects to the backend whose turn it is, or to the next ones if that fails. Each attempt may
    /// take `within`. A backend that has just failed comes last.
    pub(crate) async fn connect(
        &self,
        within: Duration,
        counters: &Counters,
    ) -> Result<TcpStream, NoBackend> {
        if let [backend] = &*self.all {
            return self.attempt(backend, within, counters).await;
        }
        for backend in self.in_turn() {
            if let Ok(socket) = self.attempt(backend, within, counters).await {
                return Ok(socket);
            }
        }
        Err(NoBackend)
    }

    /// The backends in the order of the attempts for one client.
    fn in_turn(&self) -> Vec<&Backend> {
        // Relaxed: only a turn.
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        let now = self.elapsed();
        let (before, from) = self.all.split_at(first);
        let mut in_turn: Vec<_> = from.iter().chain(before).collect();
        // Relaxed: a hint, as all uses of it.
        in_turn.sort_by_key(|backend| backend.tried_last_until.load(Ordering::Relaxed) > now);
        in_turn
    }

    async fn attempt(
        &self,
        backend: &Backend,
        within: Duration,
        counters: &Counters,
    ) -> Result<TcpStream, NoBackend> {
        let in_time = timeout(within, backend.address.connect()).await;
        match in_time.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(socket) => {
                backend.works();
                Ok(socket)
            }
            Err(error) => {
                self.failed(backend, &error, within, counters);
                Err(NoBackend)
            }
        }
    }

    /// Notes a failure. Only a failure of the backend itself makes it the last choice: a shortage of
    /// this machine says nothing about it.
    fn failed(&self, backend: &Backend, error: &io::Error, within: Duration, counters: &Counters) {
        let cause = Cause::of(error);
        if cause == Cause::Backend {
            let until = self.elapsed() + TRIED_LAST.as_millis() as u64;
            // Relaxed: a hint, as above.
            backend.tried_last_until.store(until, Ordering::Relaxed);
        }
        backend.failed(cause, error, within, counters);
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Backend {
    /// Notes a connection. The end of an episode of failures is logged.
    fn works(&self) {
        // Relaxed: each flag decides only which task logs, here and below.
        if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed)
        {
            self.tried_last_until.store(0, Ordering::Relaxed);
            tracing::info!("backend {}: connections succeed again", self.name);
        }
        if self.is_short_of_ports.load(Ordering::Relaxed) {
            self.is_short_of_ports.store(false, Ordering::Relaxed);
        }
    }

    /// Counts a failure. The first of an episode is logged.
    fn failed(&self, cause: Cause, error: &io::Error, within: Duration, counters: &Counters) {
        let name = &self.name;
        match cause {
            Cause::Backend => {
                counters.backend_failures.add(1);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    if error.kind() == io::ErrorKind::TimedOut {
                        tracing::warn!("backend {name}: no connection within {within:?}");
                    } else {
                        tracing::warn!("backend {name}: cannot connect: {error}");
                    }
                }
            }
            Cause::NoLocalPort => {
                counters.no_local_port.add(1);
                if !self.is_short_of_ports.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "backend {name}: no local port is free for another connection to it: \
                         {error}. Widen net.ipv4.ip_local_port_range, or give the backend more \
                         addresses"
                    );
                }
            }
            Cause::NoDescriptor => {
                counters.no_descriptor.add(1);
                tracing::debug!("backend {name}: no file descriptor or memory: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_shortage_of_local_ports_or_descriptors_is_told_apart_from_a_dead_backend() {
        let names: [Arc<str>; 2] = ["192.0.2.1:1".into(), "192.0.2.2:1".into()];
        let (backends, counters) = (Backends::new(&names), Counters::default());
        let failed = |code| {
            let error = io::Error::from_raw_os_error(code);
            backends.failed(&backends.all[0], &error, Duration::ZERO, &counters);
            let counts = counters.read();
            let turns = [backends.in_turn(), backends.in_turn()];
            let is_first = turns.iter().any(|turn| turn[0].name == names[0]);
            let counts = (
                counts.no_local_port,
                counts.no_descriptor,
                counts.backend_failures,
            );
            (counts, is_first)
        };
        assert_eq!(failed(libc::EADDRNOTAVAIL), ((1, 0, 0), true));
        assert_eq!(failed(libc::EMFILE), ((1, 1, 0), true));
        assert_eq!(failed(libc::ENOBUFS), ((1, 2, 0), true));
        // A dead backend is the last choice for a while.
        assert_eq!(failed(libc::ECONNREFUSED), ((1, 2, 1), false));
        assert_eq!(failed(libc::EHOSTUNREACH), ((1, 2, 2), false));
    }

    #[test]
    fn the_same_names_are_the_same_backends() {
        let names: [Arc<str>; 2] = ["localhost:1".into(), "192.0.2.2:1".into()];
        let backends = Backends::new(&names);
        assert!(backends.are(&names.clone()));
        assert!(!backends.are(&names[..1]));
    }
}
