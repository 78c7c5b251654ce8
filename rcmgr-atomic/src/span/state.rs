//! A span: a part of the memory of a leaf, a node or another span, which is given back as a whole.
//!
//! Its word is `[closed: 1][has spans: 1][memory: 62]`. The memory of a span is part of the memory
//! of its owner, but not of the own memory of the owner: only the span releases it, unless the
//! owner is closed.
//!
//! A reservation is charged from the outside in: the nodes of the owner, the owner, then the span.
//! A release goes from the inside out: the span first. The thread that takes an amount out of the
//! word of a span also takes it out of the owner. A closed owner has given everything back, so
//! nothing is taken from it.

use std::sync::Arc;

use rcmgr_core::{Error, Limit, Priority, Resource, Result, ScopeName, ScopeStat};

use super::direct::{charge_direct, release_direct};
use crate::charge::{Memory, Refused};
use crate::counters::{LazyNumber, Numbers, OwnMemory};
use crate::engine::{Engine, Granted, Operation, Record};
use crate::leaf::SharedLeaf;
use crate::lifetime::Shared;
use crate::limits::{LimitOverride, LimitReached, LimitsVersion};
use crate::node::{Node, threshold};
use crate::sync::{AtomicU64, Ordering, RareLock};
use crate::words::SpanWord;

/// The scope that a span is part of.
pub enum Owner {
    Leaf(SharedLeaf),
    Span(Shared<SpanState>),
    /// A node. The holder is a user of it.
    Node(Arc<Node>, Arc<Engine>),
}

impl Owner {
    fn engine(&self) -> &Arc<Engine> {
        match self {
            Self::Leaf(leaf) => leaf.path().shared_home(),
            Self::Span(span) => span.owner.engine(),
            Self::Node(_, engine) => engine,
        }
    }

    /// The node that the span is part of, if it is not part of a leaf. Each open span of a node, at
    /// any depth, is a user of it: while one is open, the limit of the node is kept up to date.
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

    fn memory_limit(&self, engine: &Engine, version: LimitsVersion) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.memory_limit(engine, version),
            Self::Span(span) => span.memory_limit(engine, version),
            Self::Node(node, _) => node.memory.limit(version),
        }
    }

    fn reserve(&self, charge: Memory) -> Result<()> {
        match self {
            Self::Leaf(leaf) => leaf.reserve_for_span(charge),
            Self::Span(span) => span.charge(charge).map(drop),
            Self::Node(node, engine) => charge_direct(engine, node, charge),
        }
    }

    /// Takes memory that a span held, or that was reserved for it, out of the owner.
    fn take(&self, size: u64) {
        match self {
            Self::Leaf(leaf) => leaf.take(size),
            Self::Span(span) => span.take(size),
            Self::Node(node, engine) if size > 0 => release_direct(engine, node, size),
            Self::Node(..) => {}
        }
    }

    /// Prepares for a span, unless the owner is closed. If the owner is part of a node, the new
    /// span becomes a user of the node.
    fn prepare_for_spans(&self) -> Result<()> {
        match self {
            Self::Leaf(leaf) => leaf.prepare_for_spans(),
            Self::Span(span) => span.prepare_for_spans(),
            // The caller hands its use of the node over.
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

/// The deepest nesting of spans. Each level is a nested call, and the stack of a thread is finite.
pub const MOST_NESTED: u32 = 64;

/// A span. Its handle and its own spans share it.
pub struct SpanState {
    word: AtomicU64,
    owner: Owner,
    number: LazyNumber,
    /// From 1.
    depth: u32,
    spans: Numbers,
    own_memory: OwnMemory,
    limit_override: LimitOverride,
    /// Held by the thread that prepares the span for spans of its own.
    preparing: RareLock,
}

impl SpanState {
    /// Opens a span of `owner`.
    ///
    /// # Errors
    ///
    /// If the owner is closed, or is a span at the deepest nesting.
    pub fn begin(owner: Owner) -> Result<Shared<Self>> {
        let depth = match &owner {
            Owner::Span(span) => span.depth + 1,
            Owner::Leaf(_) | Owner::Node(..) => 1,
        };
        if depth > MOST_NESTED {
            let (scope, most) = (owner.name(), MOST_NESTED);
            return Err(Error::SpansTooDeep { scope, most });
        }
        owner.prepare_for_spans()?;
        let is_recorded = owner.engine().recorder().is_some();
        let span = Shared::new_with(|| Self::with_word(owner, depth, SpanWord::OPENED));
        if is_recorded {
            span.record_begun();
        }
        Ok(span)
    }

    /// A span of `owner` that is closed from the start.
    #[cold]
    pub fn closed_from_start(owner: Owner) -> Shared<Self> {
        Shared::new_with(|| Self::with_word(owner, 1, SpanWord::CLOSED_EMPTY))
    }

    fn with_word(owner: Owner, depth: u32, word: SpanWord) -> Self {
        Self {
            word: AtomicU64::new(word.0),
            number: LazyNumber::none(),
            depth,
            owner,
            spans: Numbers::new(),
            own_memory: OwnMemory::new(),
            limit_override: LimitOverride::none(),
            preparing: RareLock::default(),
        }
    }

    #[cold]
    fn record_begun(&self) {
        self.engine().record(|| {
            let limit = Some(self.limit());
            Record::of_span(Operation::Begin, self.name(), limit)
        });
    }

    /// Records a change of memory, after which the span holds `held`.
    #[inline]
    fn record(&self, engine: &Engine, operation: Operation, size: u64, level: u8, held: u64) {
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
    pub(super) fn load(&self) -> SpanWord {
        // Acquire: pairs with the Release of `swap`.
        SpanWord(self.word.load(Ordering::Acquire))
    }

    #[inline]
    fn swap(&self, current: SpanWord, next: SpanWord) -> Result<(), SpanWord> {
        // Release: the owner is charged before the word of the span says so. Acquire: an amount
        // that is given back afterwards was charged before. Acquire on failure, as in `load`. SeqCst
        // includes both: in one order with requests that begin to wait for the span.
        self.word
            .compare_exchange(current.0, next.0, Ordering::SeqCst, Ordering::Acquire)
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
        let versions = self.engine().versions();
        let (own, owner) = (
            versions.read(|version| self.limit_override.get(version)),
            self.owner.limit(),
        );
        own.map_or(owner, |own| own.lower(&owner))
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The limit that was set on the span itself, if one was.
    pub(super) fn limit_override(&self, version: LimitsVersion) -> Option<Limit> {
        self.limit_override.get(version)
    }

    pub fn set_limit(&self, limit: Option<Limit>) {
        self.engine()
            .change_limits(|version| self.limit_override.set(version, limit));
    }

    /// The limit of the owner, or the override of the span if that is lower.
    pub(super) fn memory_limit(&self, engine: &Engine, version: LimitsVersion) -> u64 {
        let owner = self.owner.memory_limit(engine, version);
        let own = self.limit_override.memory(version);
        own.map_or(owner, |own| own.min(owner))
    }

    /// Reserves memory on the owner and on the span, for the span itself.
    #[inline]
    pub fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        self.reserve_in_turn(Memory::new(size, priority))
    }

    /// The same, for a request with any ticket.
    #[inline]
    pub fn reserve_in_turn(&self, charge: Memory) -> Result<()> {
        if self.charge(charge)?.has_spans() {
            self.own_memory.add(charge.size);
        }
        if self.engine().has_dry_run() {
            self.evaluate_reserved(Granted::memory(charge.size, charge.level));
        }
        Ok(())
    }

    /// Charges the owner and the span. Returns the word before.
    fn charge(&self, charge: Memory) -> Result<SpanWord> {
        let engine = self.engine();
        let charged =
            engine.under_current_limits(|version| self.try_charge(engine, charge, version));
        charged.inspect_err(|refused| {
            if !charge.ticket.may_wait() {
                self.record_refused(engine, charge, refused);
            }
        })
    }

    /// Tries to charge the owner and the span under the limits of `version`. Returns the word
    /// before.
    ///
    /// # Errors
    ///
    /// Why it failed: then nothing is charged.
    #[inline]
    fn try_charge(
        &self,
        engine: &Engine,
        charge: Memory,
        version: LimitsVersion,
    ) -> Result<SpanWord, Refused<'static>> {
        let limit = self.memory_limit(engine, version);
        let Memory { size, level, .. } = charge;
        let most = threshold(limit, level, SpanWord::MAX_MEMORY);
        // The word with the charge, if the span is open and its limit leaves room.
        let charged_word = |word: SpanWord| {
            if word.is_closed() {
                return Err(Refused::Final(self.closed()));
            }
            match word.memory().checked_add(size) {
                Some(sum) if sum <= most => Ok(word.with_memory(sum)),
                _ => {
                    let reached = LimitReached::new(Resource::Memory, word.memory(), limit);
                    let refused = || self.refused(charge, reached);
                    Err(engine.refused_for_good(version, refused))
                }
            }
        };
        // 1. Check the limit of the span.
        let mut word = self.load();
        let mut next = charged_word(word)?;
        if engine.waiters().any() {
            let count = || self.count_refusal(charge);
            engine.check_own_turn(self.name(), charge, version, count)?;
        }
        // 2. Reserve on the owner, and on all that it is charged on.
        self.owner
            .reserve(charge)
            .map_err(|why| Refused::Final(self.owner_refused(why)))?;
        self.record(engine, Operation::Reserve, size, level, next.memory());
        let held_before = word.memory();
        let cancel = || {
            self.record(engine, Operation::Release, size, level, held_before);
            self.owner.take(size);
        };
        loop {
            // 3. Check that the limits are still current. This must come before the word is
            //    swapped: until then only this thread can give the amount back to the owner. From
            //    then on the span holds it, and another thread may release it.
            if !engine.versions().is_current(version) {
                cancel();
                return Err(Refused::Stale);
            }
            // 4. Charge the span. If its word changed, check its limit again and retry the swap.
            let Err(now) = self.swap(word, next) else {
                return Ok(word);
            };
            word = now;
            next = charged_word(word).inspect_err(|_| cancel())?;
        }
    }

    /// The error for the caller when the owner refused. If the owner is closed, report this span as
    /// closed.
    pub(super) fn owner_refused(&self, why: Error) -> Error {
        match why {
            Error::ScopeClosed { .. } => self.closed(),
            why => why,
        }
    }

    /// Records a reservation that this span refused. (Its owner records its own refusals.)
    fn record_refused(&self, engine: &Engine, charge: Memory, refused: &Error) {
        engine.record_refusal(refused, || {
            let held = match refused {
                Error::LimitExceeded(reached) => reached.used,
                _ => 0,
            };
            let record = Record::of_span(Operation::Reserve, self.name(), None);
            record.memory(charge.size, held).priority(charge.level)
        });
    }

    /// Gives back memory that the span itself holds: `size`, or all there is if that is less.
    /// Returns the amount, or `None` if the span is closed.
    pub fn release(&self, size: u64) -> Option<u64> {
        let mut word = self.load();
        loop {
            if word.is_closed() {
                return None;
            }
            if word.has_spans() {
                let taken = self.own_memory.take(size);
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
                    self.record(engine, Operation::Release, taken, 0, left);
                    self.wake_own(engine);
                    return Some(taken);
                }
                Err(now) => word = now,
            }
        }
    }

    /// Takes memory out of the span, and out of its owner. The caller knows that the span holds
    /// that much. Does nothing if the span is closed: then its owner has everything back.
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
                    self.record(engine, Operation::Release, size, 0, left);
                    return self.wake_own(engine);
                }
                Err(now) => word = now,
            }
        }
    }

    /// Prepares for a span of this one: from now on the own memory of this span is counted apart.
    /// If it is part of a node, the new span becomes a user of the node.
    ///
    /// # Errors
    ///
    /// If it is closed: then no user has joined the node.
    fn prepare_for_spans(&self) -> Result<()> {
        if !self.load().has_spans() {
            // 1. This is the first span. Start the count of own memory with all that the word
            //    holds, then mark the word. If the memory changed in between, start again.
            let _one_at_a_time = self.preparing.lock();
            let mut word = self.load();
            while !word.is_closed() && !word.has_spans() {
                self.own_memory.begin(word.memory());
                match self.swap(word, word.with_spans()) {
                    Ok(()) => break,
                    Err(now) => word = now,
                }
            }
        }
        // 2. Join the node for the new span, unless the node was collected.
        if let Some(node) = self.owner.node()
            && !self.engine().try_retain_node(node)
        {
            return Err(self.closed());
        }
        // 3. Check that this span is open. This must come last: an open span is a user of the node,
        //    so the node had a user when the new span joined, and is the one that is found by its
        //    name.
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
        // AcqRel: one step takes the memory and closes the span. Every charge before it is seen.
        // SeqCst includes that: as in `swap`.
        let before = SpanWord(self.word.swap(SpanWord::CLOSED_EMPTY.0, Ordering::SeqCst));
        if !before.is_closed() {
            let engine = self.engine();
            self.give_back(engine, before);
            if engine.waiters().any() {
                engine.waiters().wake_those_of(&self.name());
            }
        }
    }

    fn give_back(&self, engine: &Engine, before: SpanWord) {
        self.owner.take(before.memory());
        engine.record(|| Record::of_span(Operation::End, self.name(), None));
        self.leave_node();
    }
}

impl Drop for SpanState {
    fn drop(&mut self) {
        // No other thread can close it any longer, so no atomic step on the word is needed.
        let word = self.load();
        if !word.is_closed() {
            self.give_back(self.engine(), word);
        }
    }
}
