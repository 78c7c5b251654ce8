//! How memory is reserved on a leaf.

use rcmgr_core::{Error, Priority, Resource, Result};

use super::state::{Leaf, count_memory};
use crate::charge::{Memory, Refused};
use crate::counters::Kind;
use crate::engine::{Engine, Path};
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::threshold;
use crate::path::{PathKind, Stock};
use crate::sync::given_shard;
use crate::waiting::Ticket;
use crate::words::LeafWord;

/// Whether a reservation is for the leaf itself, or else for a span of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IsOwn {
    Yes,
    No,
}

impl Leaf {
    /// Reserves memory on the path and on the leaf, for the leaf itself.
    #[inline]
    pub fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        self.reserve_in_turn(Memory::new(size, priority))
    }

    /// The same, for a request with any ticket.
    #[inline]
    pub fn reserve_in_turn(&self, charge: Memory) -> Result<()> {
        if charge.level < u8::MAX {
            return self.reserve_low(charge, IsOwn::Yes);
        }
        // The compiler makes use of the constant.
        let level = u8::MAX;
        self.reserve_any(Memory { level, ..charge }, IsOwn::Yes)
    }

    /// Reserves memory on the path and on the leaf, for a span of the leaf.
    #[inline(always)]
    pub fn reserve_for_span(&self, charge: Memory) -> Result<()> {
        if charge.level < u8::MAX {
            return self.reserve_low(charge, IsOwn::No);
        }
        let level = u8::MAX;
        self.reserve_any(Memory { level, ..charge }, IsOwn::No)
    }

    /// A reservation of a priority below the highest. It is a function of its own: as one with the
    /// others, it would take a tenth of their time.
    #[inline(never)]
    fn reserve_low(&self, charge: Memory, is_own: IsOwn) -> Result<()> {
        self.reserve_any(charge, is_own)
    }

    /// The fast path: there is credit, the leaf has room, and no other thread changes the leaf. In all
    /// other cases [`charge_slow`](Self::charge_slow) decides. The words of the leaf and of the stock are
    /// guessed: their swaps fail if they are not like that.
    ///
    /// It records nothing: a manager with a recorder has no credit. For the highest priority it calls no
    /// function, except at its end: so it saves few registers. Saving one is a store, and an atomic step
    /// waits for all stores before it.
    // Otherwise the reservations of spans call it: a quarter of their time.
    #[inline(always)]
    fn reserve_any(&self, charge: Memory, is_own: IsOwn) -> Result<()> {
        let Memory {
            size,
            level,
            ticket,
        } = charge;
        // 1. A path without credit takes the slow path. The shard comes first, while there are few values
        //    to save: see `given_shard`.
        let shard = given_shard();
        let (word, path) = self.staged.guess();
        let Some(stock) = shard.and_then(|shard| path.stock_in(shard, Kind::Memory)) else {
            return self.charge_slow(size, level, ticket, is_own);
        };
        let engine = path.home();
        let version = engine.versions().get();
        // Where low priorities are refused, there is no credit. Such a refusal looks no further.
        let credit = stock.guess();
        let has_credit = level == u8::MAX || credit.amount() >= size;
        // Requests may wait for the leaf itself: the slow path sees to their order. (A leaf that a
        // request has waited for is marked like one with spans.)
        let others_wait = word.has_spans() && engine.waiters().any();
        // 2. Check the own limit of the leaf.
        let has_room = || {
            memory_with(word, self.memory_limit(engine, version), charge)
                .is_some_and(|sum| sum.is_ok())
        };
        // 3. Take the credit. It is charged on all nodes of the path already, so no node is written,
        //    and none is checked for the highest priority. Path first: the path never holds less
        //    than its leaves.
        if !has_credit
            || others_wait
            || !has_room()
            || !path.take_guessed((stock, credit), version, charge)
        {
            return self.charge_slow(size, level, ticket, is_own);
        }
        // 4. Charge the leaf last, if the limits that were checked are still current.
        let next = word.more(size);
        if !engine.versions().is_current(version) || self.staged.set_memory(word, next).is_err() {
            return self.charge_again((path, stock), size, level, ticket, is_own);
        }
        if is_own == IsOwn::Yes {
            self.add_own(word, size);
        }
        match self.slot().is_connection() {
            true => counted(path, word, next.memory()),
            false => Ok(()),
        }
    }

    /// Counts memory of the leaf itself. The word before says whether it is counted apart.
    #[inline]
    fn add_own(&self, before: LeafWord, size: u64) {
        if before.has_spans() {
            self.own_memory.add(size);
        }
    }

    /// The limits or the leaf changed after the fast path took credit, or the leaf was not as guessed. Puts
    /// the credit back, and decides in the slow path.
    #[cold]
    #[inline(never)]
    fn charge_again(
        &self,
        (path, stock): (&Path, &Stock),
        size: u64,
        level: u8,
        ticket: Ticket,
        is_own: IsOwn,
    ) -> Result<()> {
        let charge = Memory {
            size,
            level,
            ticket,
        };
        path.put_back(stock, charge);
        self.charge_slow(size, level, ticket, is_own)
    }

    /// Charges the path and the leaf in all cases that the fast path leaves. With a dry run there is
    /// no credit, and so no fast path: each reservation of the leaf itself is evaluated here. Those
    /// of a span are evaluated there.
    // The charge comes in registers. Otherwise the fast path stores it, in case it fails.
    #[inline(never)]
    fn charge_slow(&self, size: u64, level: u8, ticket: Ticket, is_own: IsOwn) -> Result<()> {
        let charge = Memory {
            size,
            level,
            ticket,
        };
        let engine = self.engine();
        let charged = engine.under_current_limits(|version| {
            self.try_charge(engine, charge, is_own, version)
                .map_err(|refused| settle(engine, refused, charge, version))
        });
        match charged {
            Ok(before) => {
                if is_own == IsOwn::Yes {
                    self.add_own(before, charge.size);
                }
                Ok(())
            }
            Err(refused) => {
                if !charge.ticket.may_wait() {
                    self.record_refused(charge, &refused);
                }
                Err(refused)
            }
        }
    }

    /// Tries to charge the path and the leaf under the limits of `version`. Returns the word
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
        is_own: IsOwn,
        version: LimitsVersion,
    ) -> Result<LeafWord, Refused<'_>> {
        let limit = self.memory_limit(engine, version);
        let check_own_limit = |word| match memory_with(word, limit, charge) {
            None => Err(Refused::Final(self.closed())),
            Some(Ok(sum)) => Ok(sum),
            Some(Err(reached)) => {
                Err(engine.refused_for_good(version, || self.refused(charge, reached)))
            }
        };
        // Each round charges one path. The leaf may move meanwhile: then the next round charges the
        // path that it is on now.
        loop {
            // 1. Check the own limit of the leaf. A stranded connection can only be closed.
            let (mut word, path) = self.staged.load();
            if path.kind() == PathKind::StrandedConnection {
                return Err(Refused::Final(self.closed()));
            }
            let sum = check_own_limit(word)?;
            if word.has_spans() && engine.waiters().any() {
                let count = || self.count_refusal(charge);
                engine.check_own_turn(self.name(), charge, version, count)?;
            }
            // 2. Charge the path that this word names.
            self.charge_memory(path, version, charge, sum)?;
            let held_before = word.memory();
            let cancel = || self.cancel_memory(path, charge, held_before);
            // Each round tries one swap of the word. The path stays charged.
            loop {
                // 3. Check that the limits are still current. This must come before the word is
                //    swapped: from then on the leaf holds the memory, and another thread may have
                //    released it, so it could not be taken back. (If the own limit of the leaf is
                //    lowered after this check, it counts from the next reservation on.)
                if !engine.versions().is_current(version) {
                    cancel();
                    return Err(Refused::Stale);
                }
                // 4. Charge the leaf.
                let Err(now) = self.set_memory(path, word, word.more(charge.size)) else {
                    if engine.has_dry_run() && is_own == IsOwn::Yes {
                        self.evaluate_reserved(charge);
                    }
                    return Ok(word);
                };
                // The leaf moved, got its first span, or was closed: start again.
                if !now.same_but_memory(word) {
                    cancel();
                    break;
                }
                // Only its memory changed: check its own limit again, and retry the swap.
                word = now;
                check_own_limit(word).inspect_err(|_| cancel())?;
            }
        }
    }

    /// Counts a refusal by the leaf itself, if it is final.
    fn count_refusal(&self, charge: Memory) {
        if !charge.ticket.may_wait() {
            let class = self.engine().leaf_class(self.slot());
            class.refusals.count(Resource::Memory, None);
        }
    }

    /// Checks whether there would be room on an empty leaf and empty nodes.
    ///
    /// # Errors
    ///
    /// The refusal. It is not counted.
    pub fn check_alone(&self, charge: Memory) -> Result<()> {
        let engine = self.engine();
        engine.under_current_limits(|version| {
            let limit = self.memory_limit(engine, version);
            if charge.size > threshold(limit, charge.level, LeafWord::MAX_MEMORY) {
                let held = self.stat().memory;
                let reached = LimitReached::new(Resource::Memory, held, limit);
                return Err(engine
                    .refused_for_good(version, || charge.limit_exceeded(self.name(), reached)));
            }
            engine.check_alone(self.path().iter(), version, charge)
        })
    }

    /// Counts a refusal by the leaf itself and returns its error.
    #[cold]
    fn refused(&self, charge: Memory, reached: LimitReached) -> Error {
        self.count_refusal(charge);
        charge.limit_exceeded(self.name(), reached)
    }
}

/// The end of the fast path of a connection.
#[cold]
#[inline(never)]
fn counted(path: &Path, before: LeafWord, after: u64) -> Result<()> {
    count_memory(path, before, after);
    Ok(())
}

/// The memory that the leaf would hold with the charge, or its own limit if that leaves no room.
/// `None` if the leaf is closed.
#[inline]
fn memory_with(word: LeafWord, limit: u64, charge: Memory) -> Option<Result<u64, LimitReached>> {
    if word.is_closed() {
        return None;
    }
    let held = word.memory();
    // A low priority may use only a part of the limit.
    let most = threshold(limit, charge.level, LeafWord::MAX_MEMORY);
    Some(match held.checked_add(charge.size) {
        Some(sum) if sum <= most => Ok(sum),
        _ => Err(LimitReached::new(Resource::Memory, held, limit)),
    })
}

/// As a function of its own, it makes refusals a tenth faster, and charges of the nodes too.
#[inline(never)]
fn settle<'a>(
    engine: &Engine,
    refused: Refused<'a>,
    charge: Memory,
    version: LimitsVersion,
) -> Refused<'a> {
    engine.settle(refused, charge, version)
}
