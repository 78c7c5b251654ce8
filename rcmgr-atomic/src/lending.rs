//! Which paths lend credit, how much, and how it is called in: see `credit.rs`.
//!
//! A path begins to lend when it is charged often. Only so many do at a time; when there are as
//! many, those that were not used for a while make room. A path that is collected gives all back
//! and lends no more.
//!
//! A lane is opened for so many bytes, and each node says how many that are in all (*lent*): it is
//! raised before a lane is opened and lowered after what was in it has been given back. So it is
//! never less than the credit on the node, it bounds what share of the limit that may be, and a
//! node on which nothing is lent refuses without looking any further.

use rcmgr_core::{Direction, KIB, ScopeStat};

use crate::charge::{Charge, Memory, Streams, cancel_all, charge_all};
use crate::credit::{Credit, Kind, Stock};
use crate::edition::Edition;
use crate::gauge::Over;
use crate::node::Node;
use crate::path::Path;
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering, Published, RareLock, fence};
use crate::word::{StockState, StockWord, StreamsWord};

/// What may be lent of what is left of a node's memory: this part of it.
const SHARE: u64 = 8;

/// What a lane gets of what may be lent still: this part of it.
const PART: u64 = 8;

/// How much credit there is.
#[derive(Debug, Clone, Copy)]
pub struct CreditOptions {
    /// The most memory that a lane keeps, in bytes; zero for none.
    pub most_memory: u64,
    /// The most streams of a direction that a lane keeps; zero for none.
    pub most_streams: u64,
    /// A path lends when its nodes were charged so often: nothing is spent on those that come and
    /// go.
    pub warm: u64,
    /// How many paths lend at a time.
    pub most_lenders: usize,
}

impl CreditOptions {
    /// A lane keeps some dozens of usual buffers, and as many streams.
    pub const DEFAULT: Self = Self {
        most_memory: 256 * KIB,
        most_streams: 64,
        warm: 64,
        most_lenders: 256,
    };
}

/// Who lends.
pub struct Lending {
    options: CreditOptions,
    lenders: Published<Vec<Shared<Path>>>,
    /// Held by the one that changes who lends. Nobody waits for it.
    changing: RareLock,
    /// How often credit was moved between nodes and lanes: begun, and done.
    begun: AtomicU64,
    done: AtomicU64,
}

/// Whether a path lends, or after how many charges it may.
#[derive(Debug)]
pub struct Standing(AtomicU64);

/// A path that could not lend, or did not use what it had, waits so many times as long as a new one.
const WAIT: u64 = 16;
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
    fn wait(&self, charges: u64) {
        self.swap(0, charges);
    }

    /// It lent, and does no more; or it is collected anyway.
    fn end(&self, charges: u64) -> bool {
        self.swap(LENDS, charges)
    }

    /// The path is collected. Whether it lent until now.
    fn gone(&self) -> bool {
        self.0.swap(GONE, Ordering::AcqRel) == LENDS
    }

    pub fn lends(&self) -> bool {
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

    /// A path was charged with `amount` under `edition`, for which credit would have done, because it
    /// had none: now it may get some.
    #[cold]
    pub fn after_charge(&self, path: &Shared<Path>, edition: Edition, kind: Kind, amount: u64) {
        if path.is_lasting() || !serves(self.most(kind), amount) {
            return;
        }
        let standing = path.standing();
        // Acquire: with the stocks of a path that lends.
        match standing.0.load(Ordering::Acquire) {
            GONE => {}
            LENDS => self.fill(path, edition, kind, amount),
            0 => self.begin(path),
            charges => drop(standing.swap(charges, charges - 1)),
        }
    }

    /// The most that a stock keeps.
    fn most(&self, kind: Kind) -> u64 {
        let most = match kind {
            Kind::Memory => self.options.most_memory,
            Kind::Streams(_) => self.options.most_streams,
        };
        most.min(StockWord::MAX_MOST)
    }

    fn fill(&self, path: &Path, edition: Edition, kind: Kind, amount: u64) {
        let Some(credit) = path.credit() else { return };
        let stock = credit.stock(kind);
        if !stock.is_paused() && !self.try_fill(path, stock, edition, kind, amount) {
            stock.pause();
        }
    }

    /// Whether the stock is as it should be.
    fn try_fill(
        &self,
        path: &Path,
        stock: &Stock,
        edition: Edition,
        kind: Kind,
        amount: u64,
    ) -> bool {
        let mut word = stock.load();
        if word.state() == StockState::Open && !serves(word.most(), amount) {
            // It was opened when there was less to lend.
            let more = self.for_one_stock(path, edition, kind);
            if more.is_none_or(|more| more <= word.most()) {
                return false;
            }
            self.give_back(path, kind, [stock].into_iter(), Stock::drain);
            word = stock.load();
        }
        match word.state() {
            StockState::Idle => true,
            StockState::Open => {
                let batch = (word.most() - word.amount()).min(batch(word.most()));
                let is_full = batch == 0 && word.is_good_under(edition.number());
                let is_near = || {
                    path.iter()
                        .any(|node| to_lend(node, edition, kind).is_none())
                };
                // With nothing to be added, what there is may still become good under this edition.
                let fill = || stock.fill(edition, batch);
                is_full || (!is_near() && self.charge(path, edition, kind, batch, fill))
            }
            StockState::Drained => {
                let Some(most) = self.lend(path, edition, kind, amount) else {
                    return false;
                };
                let batch = batch(most);
                let open = || stock.open(edition, most, batch);
                let opened = self.charge(path, edition, kind, batch, open);
                if !opened {
                    lend_no_more(path.iter(), kind, most);
                }
                opened
            }
        }
    }

    /// What a stock may hold that is opened now: a power of two.
    fn for_one_stock(&self, path: &Path, edition: Edition, kind: Kind) -> Option<u64> {
        let most = path.iter().try_fold(self.most(kind), |most, node| {
            Some(most.min(to_lend(node, edition, kind)? / PART))
        })?;
        Some(1 << most.checked_ilog2()?)
    }

    /// For how much a stock is opened, which all nodes of the path know of from then on; if it does
    /// for charges of such an `amount`.
    fn lend(&self, path: &Path, edition: Edition, kind: Kind, amount: u64) -> Option<u64> {
        if path.iter().any(Node::is_quiet) {
            return None;
        }
        let most = self.for_one_stock(path, edition, kind)?;
        if !serves(most, amount) {
            return None;
        }
        for (at, node) in path.iter().enumerate() {
            node.lend(kind, most);
            // Others may have lent meanwhile.
            if to_lend(node, edition, kind).is_none() {
                lend_no_more(path.iter().take(at + 1), kind, most);
                return None;
            }
        }
        Some(most)
    }

    /// Charges a batch on all nodes for `keep` to put into a stock.
    fn charge(
        &self,
        path: &Path,
        edition: Edition,
        kind: Kind,
        count: u64,
        keep: impl FnOnce() -> bool,
    ) -> bool {
        match kind {
            Kind::Memory => {
                let level = u8::MAX;
                self.charge_batch(path, edition, Memory { size: count, level }, keep)
            }
            Kind::Streams(direction) => {
                self.charge_batch(path, edition, Streams { direction, count }, keep)
            }
        }
    }

    fn charge_batch<C: Charge>(
        &self,
        path: &Path,
        edition: Edition,
        batch: C,
        keep: impl FnOnce() -> bool,
    ) -> bool {
        self.moving(|| {
            if charge_all(path.iter(), edition, batch).is_err() {
                return false;
            }
            // Looked at after the charge: whoever finds all that is in the stock within the limits
            // of a later edition has counted this in.
            let kept = path.engine().editions().still(edition) && keep();
            if !kept {
                cancel_all(path.iter(), batch);
            }
            kept
        })
    }

    /// The path lends from now on, if there is room for one more.
    fn begin(&self, path: &Shared<Path>) {
        if let Some(one_at_a_time) = self.changing.try_hold() {
            self.begin_alone(path);
            drop(one_at_a_time);
            self.tidy();
        }
    }

    fn begin_alone(&self, path: &Shared<Path>) {
        if !path.standing().may_begin() {
            return;
        }
        let mut lenders = self.remaining_lenders();
        let wait = WAIT * self.options.warm;
        if lenders.len() >= self.options.most_lenders {
            lenders.retain(|lender| {
                let stays = is_used(lender) || !lender.standing().end(wait);
                if !stays {
                    self.end(lender);
                }
                stays
            });
        }
        if lenders.len() >= self.options.most_lenders {
            return path.standing().wait(wait);
        }
        lenders.push(path.clone());
        self.lenders.set(lenders);
        // From here on it can be called in, so now it may be filled: when it lends, it is.
        path.credit_or_new().all_stocks().for_each(Stock::begin);
        // If it does not begin it was collected meanwhile, and is taken off the list again.
        path.standing().begin();
    }

    /// Takes those off the list that lend no more. Who finds the lock held leaves it to the holder.
    fn tidy(&self) {
        loop {
            // Between a path's end, or the lock's, and the look at the other: of one that ends and one
            // that unlocks, at least one sees what the other did.
            fence(Ordering::SeqCst);
            let lends = |path: &Shared<Path>| path.standing().lends();
            if self.lenders.with(|lenders| lenders.iter().all(lends)) {
                return;
            }
            let Some(_one_at_a_time) = self.changing.try_hold() else {
                return;
            };
            self.lenders.set(self.remaining_lenders());
        }
    }

    /// Those that lend still. Those that were collected while others changed who lends give all
    /// back, also what somebody who came late has filled since. Only under the lock.
    fn remaining_lenders(&self) -> Vec<Shared<Path>> {
        let mut lenders = self.lenders();
        lenders.retain(|path| {
            let lends = path.standing().lends();
            if !lends {
                self.end(path);
            }
            lends
        });
        lenders
    }

    /// All that may lend.
    pub fn lenders(&self) -> Vec<Shared<Path>> {
        self.lenders.with(Vec::clone)
    }

    /// Takes back the credit of a path that lends no more.
    fn end(&self, path: &Path) {
        if let Some(credit) = path.credit() {
            for kind in Kind::ALL {
                self.give_back(path, kind, credit.stocks(kind), Stock::end);
            }
        }
    }

    /// The path is collected: it gives all back.
    pub fn collected(&self, path: &Path) {
        if path.standing().gone() {
            self.end(path);
            self.tidy();
        }
    }

    /// Limits have changed to this edition. Of its number a stock has only some bits: before they
    /// come again all credit is called in.
    pub fn limits_changed(&self, edition: Edition) {
        if edition.number().is_multiple_of(StockWord::EDITIONS / 2) {
            for path in self.lenders() {
                self.call_in_path(&path);
            }
        }
    }

    fn call_in_path(&self, path: &Path) {
        if let Some(credit) = path.credit() {
            for kind in Kind::ALL {
                self.give_back(path, kind, credit.stocks(kind), Stock::drain);
            }
        }
    }

    /// A node has no room for a charge: calls in what credit there is on it.
    ///
    /// Stocks that are called in are left alone for a while, and the node lends nothing for a longer
    /// one. So where many are refused, most find nothing to be called in.
    #[cold]
    pub fn look_for_room<C: Charge>(
        &self,
        node: &Node,
        mut over: Over,
        charge: C,
        edition: Edition,
    ) -> Answer {
        let mut called_in = [false; Kind::ALL.len()];
        loop {
            let mut refuses = true;
            for &kind in Kind::of(over.resource) {
                if !std::mem::replace(&mut called_in[kind.index()], true) {
                    self.call_in(node, kind);
                    refuses = false;
                }
            }
            if refuses {
                return Answer::Refused(over);
            }
            // Asked in any case: another may have called it in since the node was asked last. And
            // where there is room now, there may be none of something else.
            match charge.look(node, edition) {
                Ok(_) => return Answer::AskAgain,
                Err(now) => over = now,
            }
        }
    }

    fn call_in(&self, node: &Node, kind: Kind) {
        if node.lent(kind) == 0 {
            return;
        }
        let mut cost = 0_u32;
        self.for_each_lender(node, |path, credit| {
            cost += 1;
            self.give_back(path, kind, credit.stocks(kind), |stock| {
                stock.drain().inspect(|_| {
                    cost += 1;
                    stock.pause();
                })
            });
        });
        // The more there was to do, the longer it is until there is something to do again.
        node.be_quiet(cost);
    }

    /// What is used on a node: what is charged, less the credit.
    pub fn stat(&self, node: &Node) -> ScopeStat {
        let mut stat = node.charged();
        for kind in Kind::ALL {
            if node.lent(kind) > 0 {
                *match kind {
                    Kind::Memory => &mut stat.memory,
                    Kind::Streams(Direction::Inbound) => &mut stat.streams_inbound,
                    Kind::Streams(Direction::Outbound) => &mut stat.streams_outbound,
                } = self.used(node, kind);
            }
        }
        stat
    }

    /// A sum over several stocks is only right if nothing moves meanwhile, so it counts when it came
    /// out twice; where it does not, what is charged is said to be used.
    fn used(&self, node: &Node, kind: Kind) -> u64 {
        for _ in 0..16 {
            let done = self.done.load(Ordering::SeqCst);
            let credit = self.credit(node, kind);
            let charged = node.used(kind);
            let nothing_moved = self.credit(node, kind) == credit;
            if nothing_moved && self.begun.load(Ordering::SeqCst) == done {
                return charged.saturating_sub(credit);
            }
        }
        node.used(kind)
    }

    /// The credit in all stocks of the paths through a node.
    fn credit(&self, node: &Node, kind: Kind) -> u64 {
        let mut sum = 0;
        self.for_each_lender(node, |_, credit| sum += credit.amount(kind));
        sum
    }

    fn for_each_lender(&self, node: &Node, mut f: impl FnMut(&Path, &Credit)) {
        self.lenders.with(|lenders| {
            for path in lenders {
                if path.iter().any(|other| std::ptr::eq(other, node))
                    && let Some(credit) = path.credit()
                {
                    f(path, credit);
                }
            }
        });
    }

    /// Gives back what was in those stocks of a path that are closed by `close`.
    fn give_back<'a>(
        &self,
        path: &Path,
        kind: Kind,
        stocks: impl Iterator<Item = &'a Stock>,
        close: impl FnMut(&'a Stock) -> Option<StockWord>,
    ) {
        self.moving(|| {
            for word in stocks.filter_map(close) {
                if word.amount() > 0 {
                    // Not cancelled: what was put back as credit may have been the peak.
                    path.iter()
                        .for_each(|node| node.release(kind, word.amount()));
                }
                if word.most() > 0 {
                    lend_no_more(path.iter(), kind, word.most());
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

/// Whether a stock that may hold `most` does for charges of such an `amount`: a batch has as much, and
/// then there is room to put it back.
fn serves(most: u64, amount: u64) -> bool {
    batch(most) >= amount
}

/// Whether a lender's credit was used since this was asked last.
fn is_used(lender: &Path) -> bool {
    // All stocks are asked, so that each knows from when on it is not used.
    let stocks = lender.credit().into_iter().flat_map(Credit::all_stocks);
    stocks.filter(|stock| stock.was_used()).count() > 0
}

fn lend_no_more<'a>(nodes: impl Iterator<Item = &'a Node>, kind: Kind, most: u64) {
    nodes.for_each(|node| node.lend_no_more(kind, most));
}

/// What a node may lend still. `None` near a limit, or if it lends too much already.
fn to_lend(node: &Node, edition: Edition, kind: Kind) -> Option<u64> {
    let share = |limit, used, lent| (headroom(limit, used)? / SHARE).checked_sub(lent);
    match kind {
        Kind::Memory => share(
            node.memory.limit(edition),
            node.memory.used(),
            node.lent(kind),
        ),
        Kind::Streams(direction) => {
            let used = node.streams.used();
            let limit = node.streams.limit(edition, direction).min(StreamsWord::MAX);
            let one_way = share(limit, used.get(direction), node.lent(kind))?;
            let lent = Direction::ALL.map(|direction| node.lent(Kind::Streams(direction)));
            let limit = node.streams.total_limit(edition);
            Some(one_way.min(share(limit, used.total(), lent.into_iter().sum())?))
        }
    }
}

/// What is left of a limit, as long as that is a quarter of it.
fn headroom(limit: u64, used: u64) -> Option<u64> {
    (used <= limit / 4 * 3).then(|| limit - used)
}
