//! The connections and file descriptors of a node. Some of them may be [credit](ConnsCredit): then
//! a charge takes from that, and a release puts back into it.

use rcmgr_core::{Direction, Limit, LimitValue, Resource, UsesFd};

use super::conns_credit::{ConnsCredit, ConnsStock};
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
    /// It lies here in space that the alignment leaves free.
    credit: ConnsCredit,
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
            credit: ConnsCredit::none(),
        }
    }

    /// The prepaid connections.
    pub fn credit(&self) -> &ConnsCredit {
        &self.credit
    }

    /// Whether there was credit for one more connection a moment ago.
    pub fn has_credit(
        &self,
        version: LimitsVersion,
        direction: Direction,
        uses_fd: UsesFd,
    ) -> bool {
        let stock = self.credit.stock();
        stock.is_some_and(|stock| stock.has(version, direction, uses_fd))
    }

    /// Pays for one more connection with credit, if there is some.
    #[inline]
    pub fn take_credit(
        &self,
        version: LimitsVersion,
        direction: Direction,
        uses_fd: UsesFd,
    ) -> bool {
        let stock = self.credit.stock();
        stock.is_some_and(|stock| stock.take(version, direction, uses_fd))
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
        let committed = self.add(seen, ConnsWord::one(direction, uses_fd));
        if !committed {
            self.credit.warm_up();
        }
        committed
    }

    /// Adds an amount to the usage, if that is still `seen`.
    #[inline]
    fn add(&self, seen: ConnsWord, amount: ConnsWord) -> bool {
        // SeqCst: see `CurrentVersion::is_current`. Relaxed on failure: the caller checks again.
        self.used
            .compare_exchange_weak(
                seen.0,
                seen.0 + amount.0,
                Ordering::SeqCst,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Counts a batch of credit, if all counts are within their limits with it. Returns whether they
    /// are. Also those that the batch adds nothing to are checked: the stock may hold credit of them.
    pub fn charge_batch(&self, version: LimitsVersion, batch: ConnsWord) -> bool {
        loop {
            let used = self.used();
            let fits = |used: u64, more: u64, limit: u64| used + more <= limit.min(ConnsWord::MAX);
            let is_within = Direction::ALL.into_iter().all(|direction| {
                let limit = self.limit(version, direction);
                fits(used.get(direction), batch.get(direction), limit)
            }) && fits(used.fd(), batch.fd(), self.fd_limit(version))
                && self.check_total_with(version, used, batch.total()).is_ok();
            if !is_within {
                return false;
            }
            if self.add(used, batch) {
                return true;
            }
        }
    }

    /// Takes back a charge that was never granted. It leaves no peak.
    #[inline]
    pub fn cancel(&self, direction: Direction, uses_fd: UsesFd) {
        self.cancel_batch(ConnsWord::one(direction, uses_fd));
    }

    /// The same, for a batch of credit.
    #[inline]
    pub fn cancel_batch(&self, batch: ConnsWord) {
        // SeqCst: a thread that makes room then looks for requests that wait (`waiting/waiters.rs`).
        // It is AcqRel, too: a thread that uses the room sees the version of the limits that this
        // thread saw.
        self.used.fetch_sub(batch.0, Ordering::SeqCst);
    }

    /// Gives back an amount that was granted: it becomes credit, or else the usage falls, and the
    /// peak is noted.
    #[inline]
    pub fn release(&self, direction: Direction, uses_fd: UsesFd) {
        let put = |stock: &ConnsStock| stock.put(direction, uses_fd);
        if !self.credit.stock().is_some_and(put) {
            self.subtract(ConnsWord::one(direction, uses_fd));
        }
    }

    /// Gives back an amount of credit that no leaf uses. Leaves held some of it before they put it
    /// back as credit, and that may have been the peak.
    pub fn give_back(&self, amount: ConnsWord) {
        self.subtract(amount);
    }

    #[inline]
    fn subtract(&self, amount: ConnsWord) {
        // SeqCst: as in `cancel_batch`.
        let before = ConnsWord(self.used.fetch_sub(amount.0, Ordering::SeqCst));
        for direction in Direction::ALL {
            let count = before.get(direction);
            debug_assert!(
                count >= amount.get(direction),
                "released a connection where there was none"
            );
            self.peak[direction as usize].note(count);
        }
        self.peak[FD_PEAK].note(before.fd());
    }

    #[inline]
    pub fn used(&self) -> ConnsWord {
        // SeqCst: a thread that changed a limit and then reads sees all charges under the old one.
        // It is Acquire, too: a charge reads the version after the counter.
        ConnsWord(self.used.load(Ordering::SeqCst))
    }

    /// The limit of a direction, as the number in a slot.
    pub fn limit(&self, version: LimitsVersion, direction: Direction) -> u64 {
        self.limit.get_one(version, direction as usize)
    }

    /// The limit of both directions together.
    pub fn total_limit(&self, version: LimitsVersion) -> u64 {
        self.limit.get_one(version, TOTAL)
    }

    /// The limit of file descriptors.
    pub fn fd_limit(&self, version: LimitsVersion) -> u64 {
        self.limit.get_one(version, FD)
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
