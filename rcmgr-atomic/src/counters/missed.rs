//! Changes whose records were missed, because a recorder had no room for them. They are added up on
//! the scope.

use rcmgr_core::ScopeStat;

use crate::sync::{AtomicBool, AtomicU64, OnceBox, Ordering};

/// How an operation changes the usage of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They hold more.
    More,
    /// They hold less.
    Less,
    /// They hold as much as before.
    None,
}

/// The charges and releases of a scope whose records were missed.
#[derive(Debug)]
pub struct Missed {
    /// Sums, in the order of `six`, which wrap below zero.
    sums: [AtomicU64; 6],
    is_collected: AtomicBool,
}

/// The six counters, in the order in which the sums are kept.
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
    /// Adds a change.
    pub fn add(&self, change: Change, amount: &ScopeStat) {
        for (sum, amount) in self.sums.iter().zip(six(amount)) {
            // AcqRel, here and below: each sum is exact under any ordering.
            match change {
                Change::More if amount > 0 => sum.fetch_add(amount, Ordering::AcqRel),
                Change::Less if amount > 0 => sum.fetch_sub(amount, Ordering::AcqRel),
                _ => continue,
            };
        }
    }

    /// The sums since this was last called.
    pub fn take(&self) -> [i64; 6] {
        std::array::from_fn(|at| self.sums[at].swap(0, Ordering::AcqRel).cast_signed())
    }

    pub fn set_collected(&self) {
        // Release: all that the scope was charged with is added before.
        self.is_collected.store(true, Ordering::Release);
    }

    pub fn is_collected(&self) -> bool {
        // Acquire: pairs with `set_collected`.
        self.is_collected.load(Ordering::Acquire)
    }
}

/// The missed changes of one scope. It takes one pointer until a record is missed.
#[derive(Debug, Default)]
pub struct MissedCell(OnceBox<Missed>);

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
