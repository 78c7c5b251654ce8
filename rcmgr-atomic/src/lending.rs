//! Which paths lend credit, how much, and how it is called in: see `credit.rs`.
//!
//! A path begins to lend when it is charged often. At most [`MOST_LENDERS`] do at a time; when there
//! are as many, those that were not used for a while make room. A path that is collected gives all
//! back and lends no more.
//!
//! A lane is opened for so many bytes, and each node says how many that are in all (*lent*): it is
//! raised before a lane is opened and lowered after what was in it has been given back. So it is
//! never less than the credit on the node, it bounds what share of the limit that may be, and a
//! node on which nothing is lent refuses without looking any further.

use std::sync::Arc;

use rcmgr_core::KIB;

use crate::charge::{Charge, Memory, cancel_all, charge_all};
use crate::credit::{Credit, Lane};
use crate::edition::Edition;
use crate::gauge::Over;
use crate::node::Node;
use crate::path::Path;
use crate::sync::{AtomicU64, Ordering, Published, RareLock};
use crate::word::{LaneState, LaneWord};

/// How many paths lend at a time.
const MOST_LENDERS: usize = 256;

/// What may be lent of what is left of a node's memory: this part of it.
const SHARE: u64 = 8;

/// What a lane gets of what may be lent still: this part of it.
const PART: u64 = 8;

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
        warm: 64,
    };
}

/// Who lends.
pub struct Lending {
    options: CreditOptions,
    lenders: Published<Vec<Arc<Path>>>,
    /// Held by the one that changes who lends. Nobody waits for it.
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

    fn may_begin(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// It lends from now on, unless it is collected.
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

    fn lends(&self) -> bool {
        self.0.load(Ordering::Acquire) == LENDS
    }
}

/// What a node that has no room says after its credit was called in.
pub enum Answer {
    /// Now it has: ask again.
    AskAgain,
    /// It refuses.
    Refused(Over),
}

impl Lending {
    pub fn new(options: CreditOptions) -> Self {
        let most = options.most.min(LaneWord::MAX_MOST);
        Self {
            options: CreditOptions { most, ..options },
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
    pub fn after_charge(&self, path: &Arc<Path>, edition: Edition, charge: Memory) {
        // What could not be taken out of a lane, full as it may be, is no reason to fill it.
        if !charge.may_take_credit() || charge.size > self.options.most || path.key().is_none() {
            return;
        }
        let standing = path.standing();
        // Acquire: with the lanes of a path that lends.
        match standing.0.load(Ordering::Acquire) {
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
        if !lane.is_paused() && !self.try_fill(path, lane, edition) {
            lane.pause();
        }
    }

    /// Whether the lane is as it should be.
    fn try_fill(&self, path: &Path, lane: &Lane, edition: Edition) -> bool {
        let near = || path.iter().any(|node| headroom(node, edition) == 0);
        let word = lane.load();
        match word.state() {
            LaneState::Idle => true,
            LaneState::Open => {
                let batch = (word.most() - word.amount()).min(batch(word.most()));
                let is_full = batch == 0 && word.is_good_under(edition.number());
                // With nothing to be added, what there is may still become good under this edition.
                let fill = || self.charge(path, edition, batch, || lane.fill(edition, batch));
                is_full || (!near() && fill())
            }
            LaneState::Drained => {
                let Some(most) = self.lend(path, edition) else {
                    return false;
                };
                let batch = batch(most);
                let open = || lane.open(edition, most, batch);
                let opened = self.charge(path, edition, batch, open);
                if !opened {
                    lend_no_more(path.iter(), most);
                }
                opened
            }
        }
    }

    /// For how much a lane may be opened, which all nodes of the path know of from then on.
    fn lend(&self, path: &Path, edition: Edition) -> Option<u64> {
        let share = |node: &Node| headroom(node, edition) / SHARE;
        let most = path
            .iter()
            .map(|node| share(node).saturating_sub(node.lent()) / PART)
            .fold(self.options.most, u64::min);
        let most = 1 << most.checked_ilog2()?;
        for (at, node) in path.iter().enumerate() {
            if node.lend(most) > share(node) {
                lend_no_more(path.iter().take(at + 1), most);
                return None;
            }
        }
        Some(most)
    }

    /// Charges a batch on all nodes for `keep` to put into a lane.
    fn charge(
        &self,
        path: &Path,
        edition: Edition,
        size: u64,
        keep: impl FnOnce() -> bool,
    ) -> bool {
        let batch = Memory {
            size,
            level: u8::MAX,
        };
        self.moving(|| {
            if charge_all(path.iter(), edition, batch).is_err() {
                return false;
            }
            // Looked at after the charge: whoever finds all that is in the lane within the limits
            // of a later edition has counted this in.
            let kept = path.engine().editions().still(edition) && keep();
            if !kept {
                cancel_all(path.iter(), batch);
            }
            kept
        })
    }

    /// The path lends from now on, if there is room for one more.
    fn begin(&self, path: &Arc<Path>) {
        let Some(_one_at_a_time) = self.changing.try_hold() else {
            return;
        };
        if !path.standing().may_begin() {
            return;
        }
        let mut lenders = self.remaining_lenders();
        if lenders.len() >= MOST_LENDERS {
            lenders.retain(|lender| {
                let stays = is_used(lender) || !lender.standing().end();
                if !stays {
                    self.end(lender);
                }
                stays
            });
        }
        if lenders.len() >= MOST_LENDERS {
            return path.standing().wait();
        }
        lenders.push(path.clone());
        self.lenders.set(lenders);
        // From here on it can be called in, so now it may be filled: when it lends, it is.
        path.credit_or_new().lanes().for_each(Lane::begin);
        if !path.standing().begin() {
            // Collected meanwhile: nothing was filled.
            self.lenders.set(self.remaining_lenders());
        }
    }

    /// Those that lend still: a path may have been collected while others changed who does.
    fn remaining_lenders(&self) -> Vec<Arc<Path>> {
        let lenders = self.lenders.get();
        let lends = |path: &&Arc<Path>| path.standing().lends();
        lenders.iter().filter(lends).cloned().collect()
    }

    /// Takes back the credit of a path that lends no more.
    fn end(&self, path: &Path) {
        if let Some(credit) = path.credit() {
            self.give_back(path, credit, Lane::end);
        }
    }

    /// The path is collected: it gives all back.
    pub fn collected(&self, path: &Path) {
        if path.standing().gone() {
            self.end(path);
            // Whoever holds the lock may leave it on the list, with nothing to be called in, until
            // somebody begins or ends to lend.
            if let Some(_one_at_a_time) = self.changing.try_hold() {
                self.lenders.set(self.remaining_lenders());
            }
        }
    }

    /// A node has no room for a charge: calls in what credit there is on it.
    ///
    /// Each lane that is called in is left alone for a while. So where many are refused, most find
    /// nothing to be called in.
    #[cold]
    pub fn look_for_room<C: Charge>(&self, node: &Node, charge: C, edition: Edition) -> Answer {
        if node.lent() > 0 {
            self.for_each_lender(node, |path, credit| {
                self.give_back(path, credit, |lane| lane.drain().inspect(|_| lane.pause()));
            });
        }
        // Asked in any case: another may have called it in since the node was asked last.
        match charge.look(node, edition) {
            Ok(_) => Answer::AskAgain,
            Err(over) => Answer::Refused(over),
        }
    }

    /// What is used on a node: what is charged, less the credit.
    ///
    /// A sum over several lanes is only right if nothing moves meanwhile, so it counts when it came
    /// out twice; where it does not, what is charged is said to be used.
    pub fn used(&self, node: &Node) -> u64 {
        for _ in 0..16 {
            let done = self.done.load(Ordering::SeqCst);
            let credit = self.credit(node);
            let charged = node.memory.used();
            let nothing_moved = self.credit(node) == credit;
            if nothing_moved && self.begun.load(Ordering::SeqCst) == done {
                return charged.saturating_sub(credit);
            }
        }
        node.memory.used()
    }

    /// The credit in all lanes of the paths through a node.
    fn credit(&self, node: &Node) -> u64 {
        let mut sum = 0;
        self.for_each_lender(node, |_, credit| sum += credit.amount());
        sum
    }

    /// How many paths lend: for the models.
    #[cfg(loom)]
    pub fn lenders(&self) -> usize {
        self.remaining_lenders().len()
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

    /// Gives back what was in those lanes of a path that are closed by `close`.
    fn give_back(&self, path: &Path, credit: &Credit, close: impl Fn(&Lane) -> Option<LaneWord>) {
        self.moving(|| {
            for word in credit.lanes().filter_map(close) {
                if word.amount() > 0 {
                    // Not cancelled: what was put back as credit may have been the peak.
                    path.iter()
                        .for_each(|node| node.release_memory(word.amount()));
                }
                if word.most() > 0 {
                    lend_no_more(path.iter(), word.most());
                }
            }
        });
    }

    /// Moves credit, so that `used` knows of it.
    fn moving<R>(&self, f: impl FnOnce() -> R) -> R {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let result = f();
        self.done.fetch_add(1, Ordering::SeqCst);
        result
    }
}

/// How much a lane is filled with at once, which leaves room for what is put back.
fn batch(most: u64) -> u64 {
    most.div_ceil(2)
}

/// Whether a lender's credit was used since this was asked last.
fn is_used(lender: &Path) -> bool {
    // All lanes are asked, so that each knows from when on it is not used.
    let lanes = lender.credit().into_iter().flat_map(Credit::lanes);
    lanes.filter(|lane| lane.was_used()).count() > 0
}

fn lend_no_more<'a>(nodes: impl Iterator<Item = &'a Node>, most: u64) {
    nodes.for_each(|node| node.lend_no_more(most));
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
