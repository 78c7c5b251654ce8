//! The streams of a node.

use rcmgr_core::{Direction, Limit, LimitValue, Resource};

use super::peak::StreamsPeak;
use crate::limits::{LimitReached, LimitSlots, LimitsVersion, decode};
use crate::sync::{AtomicU64, Ordering};
use crate::words::StreamsWord;

/// Streams, both directions in one word, so that the total is checked on one consistent value.
#[derive(Debug)]
pub struct StreamsGauge {
    used: AtomicU64,
    /// Inbound, outbound, total.
    limit: LimitSlots<3>,
    /// Inbound, outbound.
    peak: [StreamsPeak; 2],
}

const TOTAL: usize = 2;

fn fields(limit: &Limit) -> [LimitValue; 3] {
    [limit.streams_inbound, limit.streams_outbound, limit.streams]
}

impl StreamsGauge {
    /// A gauge with limits for either slot.
    pub fn new(limits: &[Limit; 2]) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit: LimitSlots::new(limits.each_ref().map(fields)),
            peak: [StreamsPeak::new(), StreamsPeak::new()],
        }
    }

    /// The usage, if the limits of the direction and of both directions together leave room for
    /// `count` more streams.
    #[inline]
    pub fn check(
        &self,
        version: LimitsVersion,
        direction: Direction,
        count: u64,
    ) -> Result<StreamsWord, LimitReached> {
        let limit = self.limit(version, direction);
        let word = self.used();
        let used = word.get(direction);
        if used + count > limit.min(StreamsWord::MAX) {
            return Err(LimitReached::new(Resource::streams(direction), used, limit));
        }
        self.check_total_with(version, word, count).map(|()| word)
    }

    /// Whether there would be room for `count` if nothing were used. The error has the usage.
    pub fn check_alone(
        &self,
        version: LimitsVersion,
        direction: Direction,
        count: u64,
    ) -> Result<(), LimitReached> {
        let (limit, used) = (self.limit(version, direction), self.used());
        if count > limit {
            let resource = Resource::streams(direction);
            return Err(LimitReached::new(resource, used.get(direction), limit));
        }
        let limit = self.total_limit(version);
        if count > limit {
            return Err(LimitReached::new(Resource::Streams, used.total(), limit));
        }
        Ok(())
    }

    /// Checks whether both directions together are within their limit.
    pub fn check_total(&self, version: LimitsVersion) -> Result<(), LimitReached> {
        self.check_total_with(version, self.used(), 0)
    }

    #[inline]
    fn check_total_with(
        &self,
        version: LimitsVersion,
        word: StreamsWord,
        more: u64,
    ) -> Result<(), LimitReached> {
        let (total, limit) = (word.total(), self.total_limit(version));
        if total + more > limit {
            return Err(LimitReached::new(Resource::Streams, total, limit));
        }
        Ok(())
    }

    /// The limit of a direction, as the number in a slot.
    #[inline]
    pub fn limit(&self, version: LimitsVersion, direction: Direction) -> u64 {
        self.limit.get_one(version, direction as usize)
    }

    /// The limit of both directions together.
    #[inline]
    pub fn total_limit(&self, version: LimitsVersion) -> u64 {
        self.limit.get_one(version, TOTAL)
    }

    /// Counts `count` more streams, if the usage has not changed since the check.
    #[inline]
    pub fn commit(&self, seen: StreamsWord, direction: Direction, count: u64) -> bool {
        let next = seen.0 + StreamsWord::of(direction, count).0;
        // SeqCst: see `CurrentVersion::is_current`. Relaxed on failure: the caller checks again.
        self.used
            .compare_exchange_weak(seen.0, next, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes back a charge that was never granted. It leaves no peak.
    #[inline]
    pub fn cancel(&self, direction: Direction, count: u64) {
        // SeqCst: a thread that makes room then looks for requests that wait (`waiting/waiters.rs`).
        // It is AcqRel, too: a thread that uses the room sees the version of the limits that this
        // thread saw.
        self.used
            .fetch_sub(StreamsWord::of(direction, count).0, Ordering::SeqCst);
    }

    /// Gives back an amount that was granted, and notes the peak.
    #[inline]
    pub fn release(&self, direction: Direction, count: u64) {
        // SeqCst: as in `cancel`.
        let before = self
            .used
            .fetch_sub(StreamsWord::of(direction, count).0, Ordering::SeqCst);
        let used = StreamsWord(before).get(direction);
        debug_assert!(used >= count, "released {count} of {used} streams");
        self.peak[direction as usize].note(used);
    }

    #[inline]
    pub fn used(&self) -> StreamsWord {
        // SeqCst: a thread that changed a limit and then reads sees all charges under the old one.
        // It is Acquire, too: a charge reads the version after the counter.
        StreamsWord(self.used.load(Ordering::SeqCst))
    }

    pub fn peak(&self, direction: Direction) -> u64 {
        self.peak[direction as usize].get(self.used().get(direction))
    }

    pub fn read_limit(&self, version: LimitsVersion, limit: &mut Limit) {
        let [inbound, outbound, total] = self.limit.get(version).map(decode);
        limit.streams_inbound = inbound;
        limit.streams_outbound = outbound;
        limit.streams = total;
    }

    pub fn set_limit(&self, version: LimitsVersion, limit: &Limit) {
        self.limit.set(version, fields(limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_one_cache_line() {
        // There may be millions of peers.
        assert_eq!(size_of::<StreamsGauge>(), 64);
    }
}
