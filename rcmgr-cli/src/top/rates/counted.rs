//! Counters of the server and their rates.

use std::time::{Duration, Instant};

/// Some counters at an update, and their rates since the update before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted<const N: usize> {
    at: Instant,
    counts: [u64; N],
    rates: Option<[f64; N]>,
}

impl<const N: usize> Counted<N> {
    /// The counters now. An update less than `soonest` after the last one changes nothing.
    pub fn next(before: Option<Self>, counts: [u64; N], now: Instant, soonest: Duration) -> Self {
        let Some(before) = before else {
            return Self {
                at: now,
                counts,
                rates: None,
            };
        };
        let since = now.saturating_duration_since(before.at);
        if since < soonest {
            return before;
        }
        let rates = std::array::from_fn(|at| {
            // A counter is lower if the scope or the server was created again: it then counts from
            // zero.
            let more = counts[at].checked_sub(before.counts[at]);
            more.unwrap_or(counts[at]) as f64 / since.as_secs_f64()
        });
        Self {
            at: now,
            counts,
            rates: Some(rates),
        }
    }

    /// The rates per second; `None` until there are two updates.
    pub const fn rates(&self) -> Option<[f64; N]> {
        self.rates
    }
}
