//! Which paths lend credit, how much, and how it is called in: see `credit.rs`.
//!
//! A path begins to lend when it is charged often. At most [`MOST_LENDERS`] do at a time; when there
//! are as many, those that were not used for a while make room. A path that is collected gives all
//! back and lends no more.
//!
//! A node's mark *lent* says that there may be credit charged on it. Whoever fills a lane sets it
//! afterwards; whoever calls in takes it away first. So a lane that is filled while others are
//! drained is marked in the end, and a node without the mark refuses without looking any further.

use std::sync::Arc;

use rcmgr_core::KIB;

use crate::charge::{Memory, cancel_all, charge_all};
use crate::credit::{Credit, Lane};
use crate::edition::Edition;
use crate::gauge::{Over, threshold};
use crate::node::Node;
use crate::path::Path;
use crate::sync::{AtomicU64, Ordering, Published, RareLock};

/// How many paths lend at a time.
const MOST_LENDERS: usize = 256;

/// How much credit there is.
#[derive(Debug, Clone, Copy)]
pub struct CreditOptions {
    /// The most that a lane keeps, in bytes; zero for no credit at all.
    pub most: u64,
    /// A path lends when its nodes were charged so often: nothing is spent on those that come and
    /// go.
    pub warm: u64,
}

impl CreditOptions {
    /// A lane keeps some dozens of usual buffers.
    pub const DEFAULT: Self = Self {
        most: 256 * KIB,
        warm: 8,
    };
}

/// Who lends.
pub struct Lending {
    options: CreditOptions,
    lenders: Published<Vec<Arc<Path>>>,
    /// Held by the one that changes who lends. Nobody waits for it but who collects a lender.
    changing: RareLock,
    /// How often credit was moved between nodes and lanes: begun, and done.
    begun: AtomicU64,
    done: AtomicU64,
}

/// Whether a path lends, or after how many charges it may.
#[derive(Debug)]
pub struct Standing(AtomicU64);

/// A path that could not lend, or did not use what it had, waits for so many charges.
const WAIT: u64 = 1024;
const LENDS: u64 = u64::MAX - 1;
const GONE: u64 = u64::MAX;

// AcqRel: one word decides between a path that begins to lend and one that is collected.
impl Standing {
    /// It may lend after so many charges.
    pub fn after(charges: u64) -> Self {
        Self(AtomicU64::new(charges))
    }

    fn swap(&self, from: u64, to: u64) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// It lends from now on, or may not.
    fn begin(&self) -> bool {
        self.swap(0, LENDS)
    }

    /// It did not get to lend: it is not to ask again at once.
    fn wait(&self) {
        self.swap(0, WAIT);
    }

    /// It lent, and does no more; or it is collected anyway.
    fn end(&self) -> bool {
        self.swap(LENDS, WAIT)
    }

    /// The path is collected. Whether it lent until now.
    fn gone(&self) -> bool {
        self.0.swap(GONE, Ordering::AcqRel) == LENDS
    }
}

/// What a node that has no room says after its credit was looked at.
pub enum Answer {
    /// There was some: ask again.
    AskAgain,
    /// It refuses.
    Refused(Over),
}

impl Lending {
    pub fn new(options: CreditOptions) -> Self {
        Self {
            options,
            lenders: Published::new(Vec::new()),
            changing: RareLock::default(),
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    /// Where a new path stands.
    pub fn standing(&self) -> Standing {
        Standing::after(self.options.warm)
    }

    /// A path was charged under `edition` because it had no credit: now it may get some.
    #[cold]
    pub fn after_charge(&self, path: &Arc<Path>, edition: Edition) {
        if self.options.most == 0 || path.is_lasting() {
            return;
        }
        let standing = path.standing();
        // Relaxed: it only tells when to begin.
        match standing.0.load(Ordering::Relaxed) {
            GONE => {}
            LENDS => self.fill(path, edition),
            0 => self.begin(path),
            charges => drop(standing.swap(charges, charges - 1)),
        }
    }

    fn fill(&self, path: &Path, edition: Edition) {
        let Some(lane) = path.credit().map(Credit::lane) else {
            return;
        };
        if lane.is_paused() {
            return;
        }
        let lenders = self.lenders() as u64;
        let most = path
            .iter()
            .map(|node| headroom(node, edition) / (64 * (lenders + 1)))
            .fold(self.options.most, u64::min);
        let batch = most / 2;
        if batch == 0 {
            return lane.pause();
        }
        let charge = Memory {
            size: batch,
            level: u8::MAX,
        };
        self.moving(|| {
            if charge_all(path.iter(), edition, charge).is_err() {
                return;
            }
            // If limits have changed meanwhile it is credit that nobody takes, until it is called in.
            if !lane.fill(edition, batch, most) {
                return cancel_all(path.iter(), charge);
            }
            path.iter().for_each(Node::mark_lent);
        });
    }

    /// The path lends from now on, if there is room for one more.
    fn begin(&self, path: &Arc<Path>) {
        let Some(_one_at_a_time) = self.changing.try_hold() else {
            return;
        };
        let mut lenders = (*self.lenders.get()).clone();
        if lenders.len() >= MOST_LENDERS {
            lenders.retain(|lender| {
                let stays = self.is_used(lender) || !lender.standing().end();
                if !stays {
                    self.end(lender);
                }
                stays
            });
        }
        if lenders.len() >= MOST_LENDERS {
            return path.standing().wait();
        }
        let begins = path.standing().begin();
        lenders.extend(begins.then(|| path.clone()));
        self.lenders.set(lenders);
        // From here on it can be called in, so now it may be filled.
        if begins {
            path.credit_or_new().lanes().for_each(Lane::begin);
        }
    }

    /// Whether a lender's credit was used since this was asked last.
    fn is_used(&self, lender: &Path) -> bool {
        // All lanes are asked, so that each knows from when on it is not used.
        let lanes = lender.credit().into_iter().flat_map(Credit::lanes);
        lanes.filter(|lane| lane.was_used()).count() > 0
    }

    /// Takes back the credit of a path that lends no more.
    fn end(&self, path: &Path) {
        if let Some(credit) = path.credit() {
            self.give_back(path, || credit.lanes().map(|lane| lane.end()).sum());
        }
    }

    /// The path is collected: it gives all back.
    pub fn collected(&self, path: &Arc<Path>) {
        if path.standing().gone() {
            let _one_at_a_time = self.changing.hold();
            let mut lenders = (*self.lenders.get()).clone();
            lenders.retain(|lender| !Arc::ptr_eq(lender, path));
            self.lenders.set(lenders);
            self.end(path);
        }
    }

    /// A node has no room for memory: calls in what credit there is on it, if that helps.
    #[cold]
    pub fn look_for_room(
        &self,
        node: &Node,
        over: Over,
        charge: Memory,
        edition: Edition,
    ) -> Answer {
        if !node.is_lent() {
            return Answer::Refused(over);
        }
        let limit = node.memory.limit(edition);
        if headroom(node, edition) > 0 {
            // It may be filled again at once: only if it helps.
            let used = self.used(node);
            let most = threshold(limit, charge.level, u64::MAX);
            if used.checked_add(charge.size).is_none_or(|sum| sum > most) {
                return Answer::Refused(Over { used, ..over });
            }
        }
        node.take_lent_mark();
        self.for_each_lender(node, |path, credit| {
            self.give_back(path, || credit.lanes().map(|lane| lane.drain()).sum());
        });
        Answer::AskAgain
    }

    /// What is used on a node: what is charged, less the credit.
    ///
    /// While credit moves between lanes and the node all the time, some of it may be counted in.
    pub fn used(&self, node: &Node) -> u64 {
        for _ in 0..16 {
            let done = self.done.load(Ordering::SeqCst);
            let mut credit = 0;
            self.for_each_lender(node, |_, lent| credit += lent.amount());
            let charged = node.memory.used();
            if self.begun.load(Ordering::SeqCst) == done {
                return charged.saturating_sub(credit);
            }
        }
        node.memory.used()
    }

    /// How many paths lend.
    pub fn lenders(&self) -> usize {
        self.lenders.with(Vec::len)
    }

    fn for_each_lender(&self, node: &Node, mut f: impl FnMut(&Path, &Credit)) {
        for path in self.lenders.get().iter() {
            if path.iter().any(|other| std::ptr::eq(other, node))
                && let Some(credit) = path.credit()
            {
                f(path, credit);
            }
        }
    }

    fn give_back(&self, path: &Path, take: impl FnOnce() -> u64) {
        self.moving(|| {
            let amount = take();
            if amount > 0 {
                // Not cancelled: what was put back as credit may have been the peak.
                path.iter().for_each(|node| node.release_memory(amount));
            }
        });
    }

    /// Moves credit, so that `used` knows of it.
    fn moving(&self, f: impl FnOnce()) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        f();
        self.done.fetch_add(1, Ordering::SeqCst);
    }
}

/// How much of a node's memory is so far from its limit that there may be credit: what is left, as
/// long as a quarter is.
fn headroom(node: &Node, edition: Edition) -> u64 {
    let (limit, used) = (node.memory.limit(edition), node.memory.used());
    if used <= limit / 4 * 3 {
        limit - used
    } else {
        0
    }
}
