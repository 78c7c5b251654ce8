use rcmgr_core::{Direction, Limit, LimitValue, Resource};

use super::{Over, StreamsPeak};
use crate::edition::{Edition, LimitSlots, decode};
use crate::sync::{AtomicU64, Ordering};
use crate::word::StreamsWord;

/// Streams, both directions in one word, so that the total is checked on one consistent value.
#[derive(Debug)]
#[repr(align(64))]
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
    /// A gauge with limits for either edition's slot.
    pub fn new(limits: &[Limit; 2]) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit: LimitSlots::new(limits.each_ref().map(fields)),
            peak: [StreamsPeak::new(), StreamsPeak::new()],
        }
    }

    /// What is used, if the limits of the direction and of the total leave room for `count` more
    /// streams.
    #[inline]
    pub fn look(
        &self,
        edition: Edition,
        direction: Direction,
        count: u64,
    ) -> Result<StreamsWord, Over> {
        let limit = self.limit(edition, direction);
        let word = self.used();
        let used = word.get(direction);
        if used + count > limit.min(StreamsWord::MAX) {
            return Err(Over::new(Resource::streams(direction), used, limit));
        }
        self.check_total(edition, word, count).map(|()| word)
    }

    /// Whether the total is within its limit.
    pub fn look_at_total(&self, edition: Edition) -> Result<(), Over> {
        self.check_total(edition, self.used(), 0)
    }

    #[inline]
    fn check_total(&self, edition: Edition, word: StreamsWord, more: u64) -> Result<(), Over> {
        let (total, limit) = (word.total(), self.total_limit(edition));
        if total + more > limit {
            return Err(Over::new(Resource::Streams, total, limit));
        }
        Ok(())
    }

    /// The limit of a direction, as a slot holds it.
    #[inline]
    pub fn limit(&self, edition: Edition, direction: Direction) -> u64 {
        self.limit.get_one(edition, direction as usize)
    }

    /// The limit of both directions together.
    #[inline]
    pub fn total_limit(&self, edition: Edition) -> u64 {
        self.limit.get_one(edition, TOTAL)
    }

    /// Counts `count` more streams, if what is used is still what was seen.
    #[inline]
    pub fn count(&self, seen: StreamsWord, direction: Direction, count: u64) -> bool {
        let next = seen.0 + StreamsWord::of(direction, count).0;
        // SeqCst: see `Editions::still`. Relaxed on failure: it is looked at anew.
        self.used
            .compare_exchange_weak(seen.0, next, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes back what was charged and not used: it leaves no peak.
    #[inline]
    pub fn cancel(&self, direction: Direction, count: u64) {
        // AcqRel: whoever uses the room knows the editions that this thread knew.
        self.used
            .fetch_sub(StreamsWord::of(direction, count).0, Ordering::AcqRel);
    }

    /// Takes back what was used.
    #[inline]
    pub fn release(&self, direction: Direction, count: u64) {
        // AcqRel: as in `cancel`.
        let before = self
            .used
            .fetch_sub(StreamsWord::of(direction, count).0, Ordering::AcqRel);
        let used = StreamsWord(before).get(direction);
        debug_assert!(used >= count, "released {count} of {used} streams");
        self.peak[direction as usize].note(used);
    }

    #[inline]
    pub fn used(&self) -> StreamsWord {
        // SeqCst: who changed a limit and then reads sees what was charged under the old one. It
        // is Acquire, too: in a charge the edition is looked at after the counter.
        StreamsWord(self.used.load(Ordering::SeqCst))
    }

    pub fn peak(&self, direction: Direction) -> u64 {
        self.peak[direction as usize].get(self.used().get(direction))
    }

    pub fn read_limit(&self, edition: Edition, limit: &mut Limit) {
        let [inbound, outbound, total] = self.limit.get(edition).map(decode);
        limit.streams_inbound = inbound;
        limit.streams_outbound = outbound;
        limit.streams = total;
    }

    pub fn set_limit(&self, edition: Edition, limit: &Limit) {
        self.limit.set(edition, fields(limit));
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
