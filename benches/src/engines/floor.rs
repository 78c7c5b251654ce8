//! The floor: only the atomic additions that are needed to charge every scope.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use super::chain::chains;
use crate::case::{Case, Workload};
use crate::engine::{Engine, Setup, Unexpected, Worker};

/// A counter: real, or of a simulated machine.
pub trait Counter: Default + Send + Sync + 'static {
    fn add(&self, amount: u64);
    fn subtract(&self, amount: u64);
    fn value(&self) -> u64;
}

macro_rules! counter {
    ($atomic:ty) => {
        impl Counter for $atomic {
            fn add(&self, amount: u64) {
                self.fetch_add(amount, Ordering::AcqRel);
            }

            fn subtract(&self, amount: u64) {
                self.fetch_sub(amount, Ordering::AcqRel);
            }

            fn value(&self) -> u64 {
                self.load(Ordering::Acquire)
            }
        }
    };
}
counter!(AtomicU64);
counter!(rcmgr_machine::AtomicU64);

/// Adds to one cache line for each scope of a workload, then subtracts again.
pub struct Floor<C>(PhantomData<fn() -> C>);

impl<C> Floor<C> {
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// A counter that shares no cache line with another.
type Line<C> = CachePadded<C>;

impl<C: Counter> Engine for Floor<C> {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn about(&self) -> &'static str {
        "only atomic additions: one up and one down for each scope that is charged"
    }

    fn has_limits(&self) -> bool {
        false
    }

    fn cannot(&self, case: &Case) -> Option<&'static str> {
        match case.workload {
            Workload::MemoryNearLimit => Some("it has no limits"),
            _ if case.peers > 0 => Some("it has no peers"),
            _ => None,
        }
    }

    fn set_up(&self, case: &Case) -> Result<Box<dyn Setup>, Unexpected> {
        Ok(Box::new(FloorSetup(chains(
            case,
            Line::<C>::default,
            Line::<C>::default,
        ))))
    }
}

/// The cache lines of each thread.
struct FloorSetup<C>(Vec<Vec<Arc<Line<C>>>>);

impl<C: Counter> Setup for FloorSetup<C> {
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
        let amount = match case.workload {
            Workload::Memory | Workload::MemoryNearLimit | Workload::Span => case.size,
            _ => 1,
        };
        let worker = |lines: &Vec<Arc<Line<C>>>| -> Box<dyn Worker> {
            Box::new(FloorWorker {
                lines: lines.clone(),
                amount,
            })
        };
        Ok(self.0.iter().map(worker).collect())
    }

    fn end(self: Box<Self>) -> Result<(), Unexpected> {
        let mut values = self.0.iter().flatten().map(|line| line.value());
        match values.find(|&value| value != 0) {
            Some(value) => Err(Unexpected::Leftover(value.to_string())),
            None => Ok(()),
        }
    }
}

struct FloorWorker<C> {
    lines: Vec<Arc<Line<C>>>,
    amount: u64,
}

impl<C: Counter> Worker for FloorWorker<C> {
    fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
        for _ in 0..operations {
            for line in black_box(&self.lines) {
                line.add(self.amount);
            }
            for line in black_box(&self.lines) {
                line.subtract(self.amount);
            }
        }
        Ok(())
    }
}
