//! A span: a part of a leaf, of a node or of another span, that is given back as a whole.
//!
//! Its word is `[closed: 1][shared: 1][memory: 62]`. What it holds is part of what its owner holds,
//! and is never the owner's own (`own.rs`): nobody but the span releases it, unless the owner is
//! closed. A reservation is charged from the outside in: what the owner is charged on, the owner,
//! then the span; it is undone from the inside out. A release takes it out of the span first, and
//! whoever takes an amount out of a word is the one who passes it on to the owner. An owner that is
//! closed has given all back by itself, so nothing more is taken from it.

use std::sync::Arc;

use rcmgr_core::{
    Error, Limit, LimitExceeded, Priority, Resource, Result, ScopeClass, ScopeName, ScopeStat,
};

use crate::charge::Memory;
use crate::direct::{charge_direct, release_direct};
use crate::edition::Edition;
use crate::engine::Engine;
use crate::gauge::{Over, threshold};
use crate::leaf::SharedLeaf;
use crate::node::Node;
use crate::numbers::{LazyNumber, Numbers};
use crate::own::Own;
use crate::own_limit::OwnLimit;
use crate::record::{Operation, Record};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering, RareLock};
use crate::word::SpanWord;

/// Whose part a span is.
pub enum Owner {
    Leaf(SharedLeaf),
    Span(Shared<SpanState>),
    /// A node, with the holder as a user of it.
    Node(Arc<Node>, Arc<Engine>),
}

impl Owner {
    fn engine(&self) -> &Arc<Engine> {
        match self {
            Self::Leaf(leaf) => leaf.path().engine(),
            Self::Span(span) => span.owner.engine(),
            Self::Node(_, engine) => engine,
        }
    }

    /// The node that it is part of, if it is not a leaf's. Each span of it, at any depth, is a user
    /// of it until it is closed: as long as one is open, its limit is kept up to date.
    fn node(&self) -> Option<&Arc<Node>> {
        match self {
            Self::Leaf(_) => None,
            Self::Span(span) => span.owner.node(),
            Self::Node(node, _) => Some(node),
        }
    }

    fn name(&self) -> ScopeName {
        match self {
            Self::Leaf(leaf) => leaf.name(),
            Self::Span(span) => span.name(),
            Self::Node(node, _) => node.id().clone().into(),
        }
    }

    fn limit(&self) -> Limit {
        match self {
            Self::Leaf(leaf) => leaf.limit(),
            Self::Span(span) => span.limit(),
            Self::Node(node, engine) => engine.limit(node),
        }
    }

    fn memory_limit(&self, engine: &Engine, edition: Edition) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.memory_limit(engine, edition),
            Self::Span(span) => span.memory_limit(engine, edition),
            Self::Node(node, _) => node.memory.limit(edition),
        }
    }

    fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        match self {
            Self::Leaf(leaf) => leaf.reserve_for_span(size, priority),
            Self::Span(span) => span.charge(size, priority).map(drop),
            Self::Node(node, engine) => charge_direct(engine, node, Memory::new(size, priority)),
        }
    }

    /// Takes back what a span held, or what was reserved for it.
    fn take(&self, size: u64) {
        match self {
            Self::Leaf(leaf) => leaf.take(size),
            Self::Span(span) => span.take(size),
            Self::Node(node, engine) if size > 0 => release_direct(engine, node, size),
            Self::Node(..) => {}
        }
    }

    /// Prepares for a span, unless the owner is closed. The new span is a user of the node that it
    /// is part of.
    fn share(&self) -> Result<()> {
        match self {
            Self::Leaf(leaf) => leaf.share(),
            Self::Span(span) => span.share(),
            // The caller is a user, and hands that over.
            Self::Node(..) => Ok(()),
        }
    }

    fn span_numbers(&self) -> &Numbers {
        match self {
            Self::Leaf(leaf) => leaf.span_numbers(),
            Self::Span(span) => &span.spans,
            Self::Node(node, _) => node.span_numbers(),
        }
    }
}

/// How deep spans are nested at most. Each level is a call within a call, and the stack of a thread
/// is not endless.
pub const MOST_NESTED: u32 = 64;

/// Why a reservation came to nothing.
enum Stop {
    Closed,
    /// The limits that it was held against count no more.
    Stale,
    Span(Over),
    Owner(Error),
}

/// A span, as its handle and the spans of it share it.
pub struct SpanState {
    word: AtomicU64,
    owner: Owner,
    number: LazyNumber,
    /// From 1.
    depth: u32,
    spans: Numbers,
    own: Own,
    own_limit: OwnLimit,
    /// Held by the one that prepares the span for spans of its own.
    sharing: RareLock,
}

impl SpanState {
    /// Opens a span of `owner`.
    ///
    /// # Errors
    ///
    /// If the owner is closed, or a span that is nested as deep as may be.
    pub fn begin(owner: Owner) -> Result<Shared<Self>> {
        let depth = match &owner {
            Owner::Span(span) => span.depth + 1,
            Owner::Leaf(_) | Owner::Node(..) => 1,
        };
        if depth > MOST_NESTED {
            return Err(Error::SpansTooDeep {
                scope: owner.name(),
                most: MOST_NESTED,
            });
        }
        owner.share()?;
        let is_recorded = owner.engine().recorder().is_some();
        let span = Shared::new_with(|| Self {
            word: AtomicU64::new(SpanWord::OPENED.0),
            number: LazyNumber::none(),
            depth,
            owner,
            spans: Numbers::new(),
            own: Own::new(),
            own_limit: OwnLimit::none(),
            sharing: RareLock::default(),
        });
        if is_recorded {
            span.tell_begun();
        }
        Ok(span)
    }

    #[cold]
    fn tell_begun(&self) {
        self.engine().record(|| {
            let limit = Some(self.limit());
            Record::of_span(Operation::Begin, self.name(), limit)
        });
    }

    /// Tells whoever records it of memory, with what the span holds then.
    #[inline]
    fn tell(&self, engine: &Engine, operation: Operation, size: u64, level: u8, held: u64) {
        engine.record(|| {
            let record = Record::of_span(operation, self.name(), None);
            record.memory(size, held).priority(level)
        });
    }

    pub fn engine(&self) -> &Arc<Engine> {
        self.owner.engine()
    }

    pub fn name(&self) -> ScopeName {
        let mut name = self.owner.name();
        let number = self.number.get(self.owner.span_numbers());
        name.spans = name.spans.child(number as u32);
        name
    }

    #[inline]
    fn load(&self) -> SpanWord {
        // Acquire: pairs with the Release of `swap`.
        SpanWord(self.word.load(Ordering::Acquire))
    }

    #[inline]
    fn swap(&self, current: SpanWord, next: SpanWord) -> Result<(), SpanWord> {
        // Release: what is charged outside is there before the span says that it holds it.
        // Acquire: what is given back afterwards was charged before. On failure as in `load`.
        self.word
            .compare_exchange(current.0, next.0, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(SpanWord)
    }

    pub fn closed(&self) -> Error {
        Error::ScopeClosed { scope: self.name() }
    }

    pub fn stat(&self) -> ScopeStat {
        ScopeStat {
            memory: self.load().memory(),
            ..ScopeStat::ZERO
        }
    }

    pub fn limit(&self) -> Limit {
        let editions = self.engine().editions();
        let (own, owner) = (
            editions.read(|edition| self.own_limit.get(edition)),
            self.owner.limit(),
        );
        own.map_or(owner, |own| own.lower(&owner))
    }

    pub fn set_limit(&self, limit: Option<Limit>) {
        self.engine()
            .change_limits(|edition| self.own_limit.set(edition, limit));
    }

    /// The owner's limit, and the span's own if it has one: the lower one counts.
    fn memory_limit(&self, engine: &Engine, edition: Edition) -> u64 {
        let owner = self.owner.memory_limit(engine, edition);
        let own = self.own_limit.memory(edition);
        own.map_or(owner, |own| own.min(owner))
    }

    /// Reserves memory on the owner and on the span, for the span itself.
    pub fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        if self.charge(size, priority)?.is_shared() {
            self.own.add(size);
        }
        Ok(())
    }

    /// Charges the owner and the span. The word that it was that the span was charged in.
    fn charge(&self, size: u64, priority: Priority) -> Result<SpanWord> {
        let engine = self.engine();
        let editions = engine.editions();
        loop {
            let edition = editions.now();
            let limit = self.memory_limit(engine, edition);
            match self.try_charge(engine, size, priority, limit, edition) {
                Ok(word) => return Ok(word),
                Err(Stop::Span(over)) if editions.still(edition) => {
                    let refused = self.refused(size, priority, over);
                    engine.record_refusal(&refused, || {
                        let record = Record::of_span(Operation::Reserve, self.name(), None);
                        let record = record.memory(size, over.used);
                        record.priority(priority.level())
                    });
                    return Err(refused);
                }
                // Limits have changed while this was on its way: ask anew.
                Err(Stop::Span(_) | Stop::Stale) => {}
                // To the caller it is this span that takes nothing any more.
                Err(Stop::Closed | Stop::Owner(Error::ScopeClosed { .. })) => {
                    return Err(self.closed());
                }
                Err(Stop::Owner(refused)) => return Err(refused),
            }
        }
    }

    #[inline]
    fn try_charge(
        &self,
        engine: &Engine,
        size: u64,
        priority: Priority,
        limit: u64,
        edition: Edition,
    ) -> Result<SpanWord, Stop> {
        let most = threshold(limit, priority.level(), SpanWord::MAX_MEMORY);
        let sum = |word: SpanWord| {
            if word.is_closed() {
                return Err(Stop::Closed);
            }
            match word.memory().checked_add(size) {
                Some(sum) if sum <= most => Ok(word.with_memory(sum)),
                _ => Err(Stop::Span(Over::new(
                    Resource::Memory,
                    word.memory(),
                    limit,
                ))),
            }
        };
        let mut word = self.load();
        let mut next = sum(word)?;
        self.owner.reserve(size, priority).map_err(Stop::Owner)?;
        let level = priority.level();
        self.tell(engine, Operation::Reserve, size, level, next.memory());
        let before = word.memory();
        let take_back = || {
            self.tell(engine, Operation::Release, size, level, before);
            self.owner.take(size);
        };
        loop {
            // The last look at the limits comes before the span is charged, as for a leaf. Until
            // then the owner holds the amount for nobody, and it can be taken back.
            if !engine.editions().still(edition) {
                take_back();
                return Err(Stop::Stale);
            }
            let Err(now) = self.swap(word, next) else {
                return Ok(word);
            };
            word = now;
            next = sum(word).inspect_err(|_| take_back())?;
        }
    }

    #[cold]
    fn refused(&self, size: u64, priority: Priority, over: Over) -> Error {
        self.engine()
            .refusals_past(ScopeClass::Span)
            .count(over.resource, None);
        LimitExceeded {
            scope: self.name(),
            resource: over.resource,
            direction: None,
            requested: size,
            used: over.used,
            limit: over.limit,
            priority: Some(priority),
        }
        .into()
    }

    /// Gives back memory that the span itself holds, at most what that is. How much it was; `None`
    /// if the span is closed.
    pub fn release(&self, size: u64) -> Option<u64> {
        let mut word = self.load();
        loop {
            if word.is_closed() {
                return None;
            }
            if word.is_shared() {
                let taken = self.own.take(size);
                self.take(taken);
                return Some(taken);
            }
            let taken = size.min(word.memory());
            if taken == 0 {
                return Some(0);
            }
            let left = word.memory() - taken;
            match self.swap(word, word.with_memory(left)) {
                Ok(()) => {
                    let engine = self.engine();
                    self.owner.take(taken);
                    self.tell(engine, Operation::Release, taken, 0, left);
                    return Some(taken);
                }
                Err(now) => word = now,
            }
        }
    }

    /// Takes out of the span what the caller knows to be in it, and passes it on to the owner. A
    /// span that is closed has done so by itself.
    fn take(&self, size: u64) {
        if size == 0 {
            return;
        }
        let mut word = self.load();
        while !word.is_closed() {
            let left = word.memory() - size;
            match self.swap(word, word.with_memory(left)) {
                Ok(()) => {
                    let engine = self.engine();
                    self.owner.take(size);
                    return self.tell(engine, Operation::Release, size, 0, left);
                }
                Err(now) => word = now,
            }
        }
    }

    /// Prepares for a span of this one: from now on it is told apart what is its own.
    ///
    /// # Errors
    ///
    /// If it is closed: then no user has joined the node.
    fn share(&self) -> Result<()> {
        if !self.load().is_shared() {
            let _one_at_a_time = self.sharing.hold();
            let mut word = self.load();
            while !word.is_closed() && !word.is_shared() {
                self.own.begin(word.memory());
                match self.swap(word, word.shared()) {
                    Ok(()) => break,
                    Err(now) => word = now,
                }
            }
        }
        // A span that is open is a user itself.
        if let Some(node) = self.owner.node()
            && !self.engine().try_retain_node(node)
        {
            return Err(self.closed());
        }
        // After the new user has joined: if the span is open still, it was a user itself until then.
        if self.load().is_closed() {
            self.leave_node();
            return Err(self.closed());
        }
        Ok(())
    }

    fn leave_node(&self) {
        if let Some(node) = self.owner.node() {
            self.engine().release_node(node);
        }
    }

    /// Gives back all that the span holds, once.
    pub fn close(&self) {
        // AcqRel: one step takes the memory and closes; all that was charged is seen.
        let before = SpanWord(self.word.swap(SpanWord::CLOSED_EMPTY.0, Ordering::AcqRel));
        if !before.is_closed() {
            self.give_back(before);
        }
    }

    fn give_back(&self, before: SpanWord) {
        let engine = self.engine();
        self.owner.take(before.memory());
        engine.record(|| Record::of_span(Operation::End, self.name(), None));
        self.leave_node();
    }
}

impl Drop for SpanState {
    fn drop(&mut self) {
        // There is nobody else to close it, so it takes no step.
        let word = self.load();
        if !word.is_closed() {
            self.give_back(word);
        }
    }
}
