//! The connections and file descriptors of a node.

use rcmgr_core::{Direction, Limit, LimitValue, Resource, UsesFd};

use super::peak::Peak;
use crate::limits::{LimitReached, LimitSlots, LimitsVersion, decode};
use crate::sync::{AtomicU128, Ordering};
use crate::words::ConnsWord;

/// Connections of both directions and file descriptors in one word, because they are granted or
/// refused together.
#[derive(Debug)]
pub struct ConnsGauge {
    used: AtomicU128,
    /// Inbound, outbound, total, file descriptors.
    limit: LimitSlots<4>,
    /// Inbound, outbound, file descriptors.
    peak: [Peak; 3],
}

const TOTAL: usize = 2;
const FD: usize = 3;
const FD_PEAK: usize = 2;

fn fields(limit: &Limit) -> [LimitValue; 4] {
    [
        limit.conns_inbound,
        limit.conns_outbound,
        limit.conns,
        limit.fd,
    ]
}

impl ConnsGauge {
    /// A gauge with limits for either slot.
    pub fn new(limits: &[Limit; 2]) -> Self {
        Self {
            used: AtomicU128::new(0),
            limit: LimitSlots::new(limits.each_ref().map(fields)),
            peak: [Peak::new(), Peak::new(), Peak::new()],
        }
    }

    /// The usage, if there is room for one more connection: in its direction, in both directions
    /// together, and for its file descriptor if it uses one.
    #[inline]
    pub fn check(
        &self,
        version: LimitsVersion,
        direction: Direction,
        uses_fd: UsesFd,
    ) -> Result<ConnsWord, LimitReached> {
        let word = self.used();
        let full = |used, limit| used >= limit || used == ConnsWord::MAX;
        let limit = self.limit.get_one(version, direction as usize);
        let used = word.get(direction);
        if full(used, limit) {
            return Err(LimitReached::new(Resource::conns(direction), used, limit));
        }
        self.check_total_with(version, word, 1)?;
        if uses_fd == UsesFd::Yes {
            let (used, limit) = (word.fd(), self.limit.get_one(version, FD));
            if full(used, limit) {
                return Err(LimitReached::new(Resource::Fd, used, limit));
            }
        }
        Ok(word)
    }

    /// Whether there would be room if nothing were used. The error has the usage.
    pub fn check_alone(
        &self,
        version: LimitsVersion,
        direction: Direction,
        uses_fd: UsesFd,
    ) -> Result<(), LimitReached> {
        let used = self.used();
        let (resource, is_blocked) = (Resource::conns(direction), |limit| limit == 0);
        let limit = self.limit.get_one(version, direction as usize);
        if is_blocked(limit) {
            return Err(LimitReached::new(resource, used.get(direction), limit));
        }
        let limit = self.limit.get_one(version, TOTAL);
        if is_blocked(limit) {
            return Err(LimitReached::new(Resource::Conns, used.total(), limit));
        }
        let limit = self.limit.get_one(version, FD);
        if uses_fd == UsesFd::Yes && is_blocked(limit) {
            return Err(LimitReached::new(Resource::Fd, used.fd(), limit));
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
        word: ConnsWord,
        more: u64,
    ) -> Result<(), LimitReached> {
        let (total, limit) = (word.total(), self.limit.get_one(version, TOTAL));
        if total + more > limit {
            return Err(LimitReached::new(Resource::Conns, total, limit));
        }
        Ok(())
    }

    /// Counts one more connection, and its file descriptor if it has one, if the usage has not
    /// changed since the check.
    #[inline]
    pub fn commit(&self, seen: ConnsWord, direction: Direction, uses_fd: UsesFd) -> bool {
        let next = seen.0 + ConnsWord::one(direction, uses_fd).0;
        // SeqCst: see `CurrentVersion::is_current`. Relaxed on failure: the caller checks again.
        self.used
            .compare_exchange_weak(seen.0, next, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes back a charge that was never granted. It leaves no peak.
    #[inline]
    pub fn cancel(&self, direction: Direction, uses_fd: UsesFd) {
        // SeqCst: a thread that makes room then looks for requests that wait (`waiting/waiters.rs`).
        // It is AcqRel, too: a thread that uses the room sees the version of the limits that this
        // thread saw.
        self.used
            .fetch_sub(ConnsWord::one(direction, uses_fd).0, Ordering::SeqCst);
    }

    /// Gives back an amount that was granted, and notes the peak.
    #[inline]
    pub fn release(&self, direction: Direction, uses_fd: UsesFd) {
        // SeqCst: as in `cancel`.
        let before = ConnsWord(
            self.used
                .fetch_sub(ConnsWord::one(direction, uses_fd).0, Ordering::SeqCst),
        );
        let count = before.get(direction);
        debug_assert!(count > 0, "released a connection where there was none");
        self.peak[direction as usize].note(count);
        self.peak[FD_PEAK].note(before.fd());
    }

    #[inline]
    pub fn used(&self) -> ConnsWord {
        // SeqCst: a thread that changed a limit and then reads sees all charges under the old one.
        // It is Acquire, too: a charge reads the version after the counter.
        ConnsWord(self.used.load(Ordering::SeqCst))
    }

    pub fn peak(&self, direction: Direction) -> u64 {
        self.peak[direction as usize].get(self.used().get(direction))
    }

    pub fn peak_fd(&self) -> u64 {
        self.peak[FD_PEAK].get(self.used().fd())
    }

    pub fn read_limit(&self, version: LimitsVersion, limit: &mut Limit) {
        let [inbound, outbound, total, fd] = self.limit.get(version).map(decode);
        limit.conns_inbound = inbound;
        limit.conns_outbound = outbound;
        limit.conns = total;
        limit.fd = fd;
    }

    pub fn set_limit(&self, version: LimitsVersion, limit: &Limit) {
        self.limit.set(version, fields(limit));
    }
}
