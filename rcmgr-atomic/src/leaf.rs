//! A leaf: a connection or a stream. There are millions of them, each owned by one place.
//!
//! One word says all that changes: `[connection][closed][stage][shared][memory]`. Which path the leaf is
//! charged on follows from the stage; what it holds besides memory is fixed at birth; once it is
//! shared with spans, what of the memory is its own is told apart in `own.rs`. Every operation has
//! one step on the word that decides:
//!
//! - *Reserve*: path first, leaf last. The path is charged, then the word swapped for one with
//!   more memory. If the word changed meanwhile but not the path, only the swap is tried again; if
//!   the leaf moved or closed, the charge is taken back and it begins anew.
//! - *Release*: leaf first, path last. What is taken out of the word is given back to the path that
//!   the same word named. In this order a path never holds less than its leaves.
//! - *Close*: the word that comes out says what to give back, to one caller only. All that comes
//!   later sees a closed word and touches nothing.
//! - *Move* to the next path: one mover at a time. It charges the nodes that the new path has and
//!   the old one has not, moves the word, and then releases the nodes that only the old path had.
//!   If memory changed meanwhile, the difference is charged and the move tried again. Whoever read
//!   the old stage either commits before the move and is counted by it, or fails its swap.

mod holder;
mod mover;
mod opening;

pub use holder::{ConnectionLeaf, SharedLeaf};
pub use mover::LeafMover;
pub use opening::{ask_first, charge_new, join_charged, refused_stream};

use std::hint::cold_path;

use rcmgr_core::{
    Error, Limit, LimitExceeded, Priority, Resource, Result, ScopeId, ScopeName, ScopeStat,
};

use crate::charge::{Charge, Memory, refuse};
use crate::conn_memory::Bucket;
use crate::credit::Kind;
use crate::edition::Edition;
use crate::engine::{Engine, LeafClass};
use crate::gauge::{Over, threshold};
use crate::node::Node;
use crate::numbers::{LazyNumber, Numbers};
use crate::own::Own;
use crate::own_limit::OwnLimit;
use crate::path::{Path, PathKind};
use crate::record::{Operation, Record};
use crate::shared::{Shared, Use};
use crate::slot::Slot;
use crate::staged::Staged;
use crate::word::LeafWord;

/// A connection or a stream.
// The words that begin as zero come first. Behind the padding of `staged` they are made elsewhere and
// copied, which stalls the processor.
pub struct Leaf {
    number: LazyNumber,
    spans: Numbers,
    own: Own,
    own_limit: OwnLimit,
    staged: Staged<Use<Path>>,
    slot: Slot,
}

impl Leaf {
    /// A new leaf on a path that is charged with it already.
    #[inline(always)]
    pub fn charged(path: Use<Path>, slot: Slot) -> Self {
        let word = match slot {
            Slot::Stream(_) => LeafWord::STREAM,
            Slot::Connection(..) => LeafWord::CONN,
        };
        Self {
            staged: Staged::new(word, path),
            number: LazyNumber::none(),
            slot,
            spans: Numbers::new(),
            own: Own::new(),
            own_limit: OwnLimit::none(),
        }
    }

    fn number(&self) -> u64 {
        let numbers = &self.engine().leaf_class(self.slot).numbers;
        self.number.get(numbers)
    }

    /// A record about the leaf on this path.
    fn about(&self, operation: Operation, path: &Shared<Path>) -> Record {
        Record::of_leaf(operation, path, self.slot, self.number())
    }

    /// Tells whoever records it that the leaf was opened, before anyone else has it.
    #[cold]
    pub fn tell_opened(&self) {
        let path = self.path();
        path.engine().record(|| self.about(Operation::Open, path));
    }

    /// Where a stream begins that is opened through this connection.
    ///
    /// # Errors
    ///
    /// If the manager or the connection is closed, or the peer is not known yet.
    pub fn streams(&self) -> Result<&Shared<Path>> {
        let (word, path) = self.staged.load();
        let engine = path.engine();
        engine.check_open()?;
        if word.is_closed() || path.kind() == PathKind::StrandedConnection {
            return Err(self.closed());
        }
        if path.peer().is_none() {
            return Err(Error::NoPeer { scope: self.name() });
        }
        // It has a peer, so there is none only if the connection was closed meanwhile.
        engine.streams_of(path).ok_or_else(|| self.closed())
    }

    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The path that it is charged on, or was when it was closed.
    pub fn path(&self) -> &Shared<Path> {
        self.staged.load().1
    }

    pub fn is_closed(&self) -> bool {
        self.staged.load().0.is_closed()
    }

    pub fn name(&self) -> ScopeName {
        leaf_name(self.slot, self.number())
    }

    pub fn closed(&self) -> Error {
        Error::ScopeClosed { scope: self.name() }
    }

    pub fn stat(&self) -> ScopeStat {
        let (word, _) = self.staged.load();
        if word.is_closed() {
            ScopeStat::ZERO
        } else {
            self.slot.stat(word.memory())
        }
    }

    fn engine(&self) -> &Engine {
        self.path().engine()
    }

    pub fn limit(&self) -> Limit {
        let engine = self.engine();
        engine.editions().read(|edition| {
            let own = self.own_limit.get(edition);
            own.unwrap_or_else(|| engine.leaf_class(self.slot).limit.get(edition))
        })
    }

    pub fn set_limit(&self, limit: Option<Limit>) {
        self.engine()
            .change_limits(|edition| self.own_limit.set(edition, limit));
    }

    /// The limit of memory, as a slot holds it.
    #[inline]
    pub fn memory_limit(&self, engine: &Engine, edition: Edition) -> u64 {
        let own = self.own_limit.memory(edition);
        own.unwrap_or_else(|| engine.leaf_class(self.slot).limit.memory(edition))
    }

    /// Reserves memory on the path and on the leaf, for the leaf itself.
    #[inline]
    pub fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        let word = self.charge(Memory::new(size, priority))?;
        if word.is_shared() {
            self.own.add(size);
        }
        Ok(())
    }

    /// Reserves memory on the path and on the leaf, for a span of the leaf.
    pub fn reserve_for_span(&self, size: u64, priority: Priority) -> Result<()> {
        self.charge(Memory::new(size, priority)).map(drop)
    }

    /// Charges the path and the leaf. The word that it was that the leaf was charged in.
    #[inline]
    fn charge(&self, charge: Memory) -> Result<LeafWord> {
        match self.charge_from_credit(charge) {
            Some(word) => Ok(word),
            None => self.charge_anyhow(charge),
        }
    }

    /// The short way, which most reservations go: `charge_anyhow` without a loop, as long as there is
    /// credit, room, and nobody in between.
    #[inline]
    fn charge_from_credit(&self, charge: Memory) -> Option<LeafWord> {
        let (kind, amount) = charge.credit()?;
        let (word, path) = self.staged.load();
        let credit = path.credit()?;
        let engine = path.engine();
        let editions = engine.editions();
        let edition = editions.now();
        sum(word, self.memory_limit(engine, edition), charge).ok()?;
        let next = word.more(charge.size);
        if !credit.stock(kind).take(edition, amount) {
            return None;
        }
        if editions.still(edition) && self.set_memory(path, word, next).is_ok() {
            return Some(word);
        }
        path.cancel(charge);
        None
    }

    #[inline(never)]
    fn charge_anyhow(&self, charge: Memory) -> Result<LeafWord> {
        let editions = self.engine().editions();
        loop {
            let edition = editions.now();
            let stop = match self.try_charge(charge, edition) {
                Ok(word) => return Ok(word),
                Err(stop) => stop,
            };
            match stop {
                Stop::Closed => return Err(self.closed()),
                Stop::Leaf(over) if editions.still(edition) => {
                    let refused = self.refused(charge, over);
                    self.tell_refused(charge, &refused);
                    return Err(refused);
                }
                Stop::Node(node, over) if editions.still(edition) => {
                    refuse(self.engine(), node, over, charge, edition)
                        .inspect_err(|refused| self.tell_refused(charge, refused))?;
                }
                // Limits have changed while this was on its way: ask anew.
                _ => {}
            }
        }
    }

    #[inline]
    fn try_charge(&self, charge: Memory, edition: Edition) -> Result<LeafWord, Stop<'_>> {
        let (mut word, mut path) = self.staged.load();
        loop {
            if path.kind() == PathKind::StrandedConnection {
                return Err(Stop::Closed);
            }
            let engine = path.engine();
            let limit = self.memory_limit(engine, edition);
            let sum = sum(word, limit, charge)?;
            path.charge(edition, charge)
                .map_err(|(node, over)| Stop::Node(node, over))?;
            self.tell(Operation::Reserve, path, charge, sum);
            let before = word.memory();
            let cancel = || {
                self.tell(Operation::Release, path, charge, before);
                path.cancel(charge);
            };
            loop {
                // The last look at the limits comes before the leaf is charged: what a leaf holds
                // is never taken back, because it could be another's by then. A limit of the leaf
                // itself that is lowered between the two counts from the next reservation on.
                if !engine.editions().still(edition) {
                    cancel();
                    return Err(Stop::Stale);
                }
                let Err(now) = self.set_memory(path, word, word.more(charge.size)) else {
                    return Ok(word);
                };
                if !now.same_but_memory(word) {
                    cancel();
                    break;
                }
                word = now;
                self::sum(word, limit, charge).inspect_err(|_| cancel())?;
            }
            (word, path) = self.staged.load();
        }
    }

    /// Tells whoever records it of memory on a path, with what the leaf holds then.
    #[inline]
    fn tell(&self, operation: Operation, path: &Shared<Path>, charge: Memory, held: u64) {
        path.engine().record(|| {
            let record = self.about(operation, path);
            record.memory(charge.size, held).priority(charge.level)
        });
    }

    /// Tells whoever records it of a refusal.
    #[inline]
    fn tell_refused(&self, charge: Memory, refused: &Error) {
        let (word, path) = self.staged.load();
        path.engine().record_refusal(refused, || {
            let record = self.about(Operation::Reserve, path);
            let record = record.memory(charge.size, word.memory());
            record.priority(charge.level)
        });
    }

    #[cold]
    fn refused(&self, charge: Memory, over: Over) -> Error {
        let class = self.engine().leaf_class(self.slot);
        class.refusals.count(over.resource, None);
        LimitExceeded {
            scope: self.name(),
            resource: over.resource,
            direction: None,
            requested: charge.size,
            used: over.used,
            limit: over.limit,
            priority: Some(charge.level.into()),
        }
        .into()
    }

    /// Gives back memory that the leaf itself holds, at most what that is. How much it was; `None`
    /// if the leaf is closed.
    #[inline]
    pub fn release(&self, size: u64) -> Option<u64> {
        let (mut word, mut path) = self.staged.load();
        loop {
            if word.is_closed() {
                return None;
            }
            if word.is_shared() {
                let taken = self.own.take(size);
                self.take(taken);
                return Some(taken);
            }
            let mut taken = size;
            if taken > word.memory() {
                // A jump, so that the step need not wait for the comparison.
                cold_path();
                taken = word.memory();
            }
            if taken == 0 {
                return Some(0);
            }
            let next = word.less(taken);
            if self.set_memory(path, word, next).is_ok() {
                self.release_on(path, taken, next.memory());
                return Some(taken);
            }
            (word, path) = self.staged.load();
        }
    }

    #[inline]
    fn release_on(&self, path: &Shared<Path>, size: u64, left: u64) {
        let charge = Memory::new(size, Priority::Level(0));
        path.release(Kind::Memory, size, || {
            self.tell(Operation::Release, path, charge, left);
        });
    }

    /// Takes out of the leaf what the caller knows to be in it, and gives it back to the path. A
    /// leaf that is closed has done so by itself.
    pub fn take(&self, size: u64) {
        if size == 0 {
            return;
        }
        let (mut word, mut path) = self.staged.load();
        while !word.is_closed() {
            debug_assert!(word.memory() >= size, "what is taken out is there");
            let next = word.less(size);
            if self.set_memory(path, word, next).is_ok() {
                self.release_on(path, size, next.memory());
                return;
            }
            (word, path) = self.staged.load();
        }
    }

    /// Prepares for a span: from now on it is told apart what is the leaf's own.
    ///
    /// # Errors
    ///
    /// If the leaf is closed.
    pub fn share(&self) -> Result<()> {
        if !self.staged.load().0.is_shared() {
            // One at a time, and not while it moves.
            let _claim = self.staged.claim();
            let (mut word, _) = self.staged.load();
            while !word.is_closed() && !word.is_shared() {
                self.own.begin(word.memory());
                match self.staged.set_shared(word) {
                    Ok(()) => break,
                    Err(now) => word = now,
                }
            }
        }
        if self.is_closed() {
            return Err(self.closed());
        }
        Ok(())
    }

    /// Gives back all that the leaf holds, once.
    pub fn close(&self) {
        if let Some(closed) = self.staged.close() {
            // The path has it back before the leaf is a user of it no more.
            self.give_back(closed.last(), closed.word());
        }
    }

    /// What the word says goes back to the path that it names.
    #[inline]
    fn give_back(&self, path: &Shared<Path>, word: LeafWord) {
        path.engine()
            .record(|| self.about(Operation::End, path).memory(word.memory(), 0));
        if word.is_connection() && word.memory() > 0 {
            count_memory(path, word, 0);
        }
        path.release_leaf(self.slot, word.memory());
    }

    /// Swaps the word for one with other memory, if it is `word` still; else says what it is now.
    /// `path` is the one that the word names.
    #[inline]
    fn set_memory(&self, path: &Path, word: LeafWord, next: LeafWord) -> Result<(), LeafWord> {
        self.staged.set_memory(word, next)?;
        if word.is_connection() {
            count_memory(path, word, next.memory());
        }
        Ok(())
    }

    /// The numbers of its spans.
    pub fn span_numbers(&self) -> &Numbers {
        &self.spans
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // There is nobody else to close it, so it takes no step. The leaf's uses of paths go after
        // this.
        let (word, path) = self.staged.load();
        if !word.is_closed() {
            self.give_back(path, word);
        }
    }
}

/// Why a reservation came to nothing.
enum Stop<'a> {
    Closed,
    /// The limits that it was held against count no more.
    Stale,
    Leaf(Over),
    Node(&'a Node, Over),
}

/// What the leaf would hold, if it is open and its own limit has room.
#[inline]
fn sum(word: LeafWord, limit: u64, charge: Memory) -> Result<u64, Stop<'static>> {
    if word.is_closed() {
        return Err(Stop::Closed);
    }
    let (held, most) = (
        word.memory(),
        threshold(limit, charge.level, LeafWord::MAX_MEMORY),
    );
    match held.checked_add(charge.size) {
        Some(sum) if sum <= most => Ok(sum),
        _ => Err(Stop::Leaf(Over::new(Resource::Memory, held, limit))),
    }
}

/// A connection's memory has changed: connections are counted by how much they hold. Not inlined,
/// so that it costs streams nothing but the question.
#[cold]
#[inline(never)]
fn count_memory(path: &Path, before: LeafWord, after: u64) {
    let (from, to) = (Bucket::of(before.memory()), Bucket::of(after));
    if from != to {
        path.engine().conn_memory().moved(from, to);
    }
}

impl LeafClass {
    #[cold]
    fn refused(&self, over: Over, slot: Slot) -> Error {
        let direction = Some(slot.direction());
        self.refusals.count(over.resource, direction);
        LimitExceeded {
            scope: leaf_name(slot, self.numbers.next()),
            resource: over.resource,
            direction,
            requested: 1,
            used: over.used,
            limit: over.limit,
            priority: None,
        }
        .into()
    }
}

pub fn leaf_name(slot: Slot, number: u64) -> ScopeName {
    match slot {
        Slot::Connection(..) => ScopeId::Connection(number),
        Slot::Stream(_) => ScopeId::Stream(number),
    }
    .into()
}
