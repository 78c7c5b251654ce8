//! Scopes as a recorder sees them, and what they were charged with unrecorded.

use std::sync::Arc;

use rcmgr_core::{ScopeId, ScopeStat};

use super::Change;
use crate::node::Node;
use crate::sync::{AtomicBool, AtomicU64, OnceBox, Ordering};

/// A scope that others are charged on.
#[derive(Debug, Clone, Copy)]
pub struct ScopeRef<'a>(pub(super) &'a Arc<Node>);

/// A scope as a recorder remembers it. It does not keep the scope from being collected.
#[derive(Debug)]
pub struct KnownScope(pub(super) Arc<Node>);

/// What a scope was charged with and given back, and was not recorded.
#[derive(Debug)]
pub(crate) struct Missed {
    /// Sums, in the order of `six`, which wrap below zero.
    sums: [AtomicU64; 6],
    is_collected: AtomicBool,
}

/// The six counters, in the order in which sums are kept.
fn six(stat: &ScopeStat) -> [u64; 6] {
    [
        stat.streams_inbound,
        stat.streams_outbound,
        stat.conns_inbound,
        stat.conns_outbound,
        stat.fd,
        stat.memory,
    ]
}

impl Missed {
    /// Adds such a change.
    pub fn add(&self, change: Change, amount: &ScopeStat) {
        for (sum, amount) in self.sums.iter().zip(six(amount)) {
            // AcqRel, here and below: each sum is exact in any ordering.
            match change {
                Change::More if amount > 0 => sum.fetch_add(amount, Ordering::AcqRel),
                Change::Less if amount > 0 => sum.fetch_sub(amount, Ordering::AcqRel),
                _ => continue,
            };
        }
    }

    pub fn set_collected(&self) {
        // Release: all that it was charged with is noted before.
        self.is_collected.store(true, Ordering::Release);
    }
}

impl ScopeRef<'_> {
    /// Which scope it is.
    pub fn id(&self) -> &ScopeId {
        self.0.id()
    }

    /// Tells it from other scopes, also from those that had its name before, as long as a
    /// [`KnownScope`] of it is there.
    pub fn key(&self) -> usize {
        Arc::as_ptr(self.0).addr()
    }

    /// The scope, to be remembered.
    pub fn known(&self) -> KnownScope {
        KnownScope(self.0.clone())
    }
}

impl KnownScope {
    /// Which scope it is.
    pub fn id(&self) -> &ScopeId {
        self.0.id()
    }

    /// What it was charged with less what it was given back by records that were
    /// [missed](super::Record::miss) since this was asked last, in the order streams in, streams out,
    /// connections in, connections out, file descriptors, bytes of memory.
    pub fn take_missed(&self) -> [i64; 6] {
        let Some(missed) = self.0.missed().get() else {
            return [0; 6];
        };
        std::array::from_fn(|at| missed.sums[at].swap(0, Ordering::AcqRel).cast_signed())
    }

    /// Whether it was collected, and no record will say so any more: that was missed, or it was said
    /// by [`set_collected`](Self::set_collected).
    pub fn is_collected(&self) -> bool {
        let missed = self.0.missed().get();
        missed.is_some_and(|missed| missed.is_collected.load(Ordering::Acquire))
    }

    /// The record that it was collected has come.
    pub fn set_collected(&self) {
        self.0.missed().get_or_new().set_collected();
    }
}

/// Where a node notes what was missed, made when there is something.
#[derive(Debug, Default)]
pub(crate) struct MissedCell(OnceBox<Missed>);

impl MissedCell {
    pub fn get(&self) -> Option<&Missed> {
        self.0.get()
    }

    pub fn get_or_new(&self) -> &Missed {
        let missed = || Missed {
            sums: std::array::from_fn(|_| AtomicU64::new(0)),
            is_collected: AtomicBool::new(false),
        };
        self.0.get_or_init(|| Box::new(missed()))
    }
}
