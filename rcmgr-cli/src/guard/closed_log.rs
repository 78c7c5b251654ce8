//! Logs the connections that the proxy itself closes or refuses. Those that a limit refuses are in
//! the refusal log.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rcmgr_guard::{Count, Counts};

use crate::demo::grouped;

/// The shortest time between two lines of the same listener and reason.
const INTERVAL: Duration = Duration::from_secs(60);

/// The counters that have lines, and the reason in words.
const REASONS: [(&str, &str); 8] = [
    ("bad_headers", "the PROXY header was wrong, late or missing"),
    (
        "untrusted_senders",
        "they came from outside of proxy-protocol.accept-from",
    ),
    ("queue_full", "the queue was full"),
    ("queue_timed_out", "they waited too long for room"),
    ("no_backend", "no backend could be connected to"),
    (
        "no_descriptor",
        "file descriptors or memory of the system were short",
    ),
    ("cut_first_byte", "the client sent no byte in time"),
    (
        "cut_no_memory",
        "a limit of memory refused room for bytes that could not be written",
    ),
];

/// What was logged, for each listener and counter.
#[derive(Debug)]
pub struct ClosedLog {
    since: Instant,
    logged: HashMap<(SocketAddr, &'static str), Logged>,
}

#[derive(Debug)]
struct Logged {
    total: u64,
    at: Instant,
}

impl ClosedLog {
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            logged: HashMap::new(),
        }
    }

    /// Logs the lines that are due.
    pub fn look(&mut self, listeners: &[(SocketAddr, Counts)]) {
        self.log(listeners, INTERVAL);
    }

    /// Logs the rest. Call it at the end.
    pub fn flush(&mut self, listeners: &[(SocketAddr, Counts)]) {
        self.log(listeners, Duration::ZERO);
    }

    fn log(&mut self, listeners: &[(SocketAddr, Counts)], interval: Duration) {
        for line in self.lines(listeners, interval, Instant::now()) {
            tracing::warn!("{line}");
        }
        // A listener that is gone takes its counters along.
        self.logged
            .retain(|(listener, _), _| listeners.iter().any(|(address, _)| address == listener));
    }

    fn lines(
        &mut self,
        listeners: &[(SocketAddr, Counts)],
        interval: Duration,
        now: Instant,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        for (listener, counts) in listeners {
            for Count { name, value, .. } in counts.each() {
                let Some((_, reason)) = REASONS.iter().find(|(counter, _)| *counter == name) else {
                    continue;
                };
                let logged = self.logged.get(&(*listener, name));
                let total = logged.map_or(0, |logged| logged.total);
                // A listener that was opened again counts from zero.
                let new = value.checked_sub(total).unwrap_or(value);
                let is_due = logged.is_none_or(|logged| now - logged.at >= interval);
                if new == 0 || !is_due {
                    continue;
                }
                let since = logged.map_or(self.since, |logged| logged.at);
                let seconds = (now - since).as_secs().max(1);
                let connections = match new {
                    1 => "1 connection".to_owned(),
                    new => format!("{} connections", grouped(new)),
                };
                lines.push(format!(
                    "{listener} closed {connections} in the last {} s: {reason}",
                    grouped(seconds),
                ));
                let logged = Logged {
                    total: value,
                    at: now,
                };
                self.logged.insert((*listener, name), logged);
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(change: impl FnOnce(&mut Counts)) -> [(SocketAddr, Counts); 1] {
        let mut counts = Counts::default();
        change(&mut counts);
        [(([127, 0, 0, 1], 80).into(), counts)]
    }

    #[test]
    fn each_reason_is_a_counter() {
        let counts = Counts::default();
        for (counter, _) in REASONS {
            assert!(
                counts.each().any(|count| count.name == counter),
                "{counter}"
            );
        }
    }

    #[test]
    fn a_reason_has_one_line_in_an_interval_and_the_first_at_once() {
        let mut log = ClosedLog::new();
        let start = log.since;
        let mut lines = |seconds, headers, full| {
            let counts = listener(|counts| {
                counts.bad_headers = headers;
                counts.queue_full = full;
                counts.cut_idle = 9;
            });
            log.lines(&counts, INTERVAL, start + Duration::from_secs(seconds))
        };
        assert_eq!(lines(0, 0, 0), [""; 0]);
        let headers = "the PROXY header was wrong, late or missing";
        let first = format!("127.0.0.1:80 closed 1 connection in the last 5 s: {headers}");
        assert_eq!(lines(5, 1, 0), [first]);
        let other = "127.0.0.1:80 closed 1,234 connections in the last 64 s: the queue was full";
        assert_eq!(lines(64, 5, 1234), [other]);
        let second = format!("127.0.0.1:80 closed 4 connections in the last 60 s: {headers}");
        assert_eq!(lines(65, 5, 1234), [second]);
        // The listener was opened again.
        let again = format!("127.0.0.1:80 closed 2 connections in the last 60 s: {headers}");
        assert_eq!(lines(125, 2, 1234), [again]);
        assert_eq!(log.lines(&listener(|_| {}), Duration::ZERO, start), [""; 0]);
    }
}
