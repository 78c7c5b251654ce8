use rcmgr_core::{Direction, Limit, LimitValue, Resource, UsesFd};

use super::{Over, Peak};
use crate::edition::{Edition, LimitSlots, decode};
use crate::sync::{AtomicU128, Ordering};
use crate::word::ConnsWord;

/// Connections of both directions and file descriptors in one word, because they are granted or
/// refused together.
#[derive(Debug)]
#[repr(align(64))]
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
    /// A gauge with limits for either edition's slot.
    pub fn new(limits: &[Limit; 2]) -> Self {
        Self {
            used: AtomicU128::new(0),
            limit: LimitSlots::new(limits.each_ref().map(fields)),
            peak: [Peak::new(), Peak::new(), Peak::new()],
        }
    }

    /// What is used, if the limits of the direction, of the total and, where one is used, of file
    /// descriptors leave room for one more connection.
    #[inline]
    pub fn look(
        &self,
        edition: Edition,
        direction: Direction,
        uses_fd: UsesFd,
    ) -> Result<ConnsWord, Over> {
        let word = self.used();
        let full = |used, limit| used >= limit || used == ConnsWord::MAX;
        let limit = self.limit.get_one(edition, direction as usize);
        let used = word.get(direction);
        if full(used, limit) {
            return Err(Over::new(Resource::conns(direction), used, limit));
        }
        self.check_total(edition, word, 1)?;
        if uses_fd == UsesFd::Yes {
            let (used, limit) = (word.fd(), self.limit.get_one(edition, FD));
            if full(used, limit) {
                return Err(Over::new(Resource::Fd, used, limit));
            }
        }
        Ok(word)
    }

    /// Whether the total is within its limit.
    pub fn look_at_total(&self, edition: Edition) -> Result<(), Over> {
        self.check_total(edition, self.used(), 0)
    }

    #[inline]
    fn check_total(&self, edition: Edition, word: ConnsWord, more: u64) -> Result<(), Over> {
        let (total, limit) = (word.total(), self.limit.get_one(edition, TOTAL));
        if total + more > limit {
            return Err(Over::new(Resource::Conns, total, limit));
        }
        Ok(())
    }

    /// Counts one more connection, with its file descriptor if it has one, if what is used is
    /// still what was seen.
    #[inline]
    pub fn count(&self, seen: ConnsWord, direction: Direction, uses_fd: UsesFd) -> bool {
        let next = seen.0 + ConnsWord::one(direction, uses_fd).0;
        // SeqCst: see `Editions::still`. Relaxed on failure: it is looked at anew.
        self.used
            .compare_exchange_weak(seen.0, next, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes back what was charged and not used: it leaves no peak.
    #[inline]
    pub fn cancel(&self, direction: Direction, uses_fd: UsesFd) {
        // AcqRel: whoever uses the room knows the editions that this thread knew.
        self.used
            .fetch_sub(ConnsWord::one(direction, uses_fd).0, Ordering::AcqRel);
    }

    /// Takes back what was used.
    #[inline]
    pub fn release(&self, direction: Direction, uses_fd: UsesFd) {
        // AcqRel: as in `cancel`.
        let before = ConnsWord(
            self.used
                .fetch_sub(ConnsWord::one(direction, uses_fd).0, Ordering::AcqRel),
        );
        let count = before.get(direction);
        debug_assert!(count > 0, "released a connection where there was none");
        self.peak[direction as usize].note(count);
        self.peak[FD_PEAK].note(before.fd());
    }

    #[inline]
    pub fn used(&self) -> ConnsWord {
        // SeqCst: who changed a limit and then reads sees what was charged under the old one. It
        // is Acquire, too: in a charge the edition is looked at after the counter.
        ConnsWord(self.used.load(Ordering::SeqCst))
    }

    pub fn peak(&self, direction: Direction) -> u64 {
        self.peak[direction as usize].get(self.used().get(direction))
    }

    pub fn peak_fd(&self) -> u64 {
        self.peak[FD_PEAK].get(self.used().fd())
    }

    pub fn read_limit(&self, edition: Edition, limit: &mut Limit) {
        let [inbound, outbound, total, fd] = self.limit.get(edition).map(decode);
        limit.conns_inbound = inbound;
        limit.conns_outbound = outbound;
        limit.conns = total;
        limit.fd = fd;
    }

    pub fn set_limit(&self, edition: Edition, limit: &Limit) {
        self.limit.set(edition, fields(limit));
    }
}
