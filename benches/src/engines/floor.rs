//! The floor: only the atomic additions that are needed to charge every scope.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_utils::CachePadded;

use super::chain::{amount, chains};
use super::word::Word;
use crate::case::{Case, Workload};
use crate::engine::{Engine, Setup, Unexpected, Worker};

/// Adds to one cache line for each scope of a workload, then subtracts again.
pub struct Floor<W>(PhantomData<fn() -> W>);

impl<W> Floor<W> {
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// A counter that shares no cache line with another.
type Line<W> = CachePadded<W>;

impl<W: Word> Engine for Floor<W> {
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
        Ok(Box::new(FloorSetup(chains(case, |class| {
            let line = Arc::<Line<W>>::default();
            W::name(&*line, class.as_str());
            line
        }))))
    }
}

/// The cache lines of each thread.
struct FloorSetup<W>(Vec<Vec<Arc<Line<W>>>>);

impl<W: Word> Setup for FloorSetup<W> {
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
        let amount = amount(case);
        let worker = |lines: &Vec<Arc<Line<W>>>| -> Box<dyn Worker> {
            Box::new(FloorWorker {
                lines: lines.clone(),
                amount,
            })
        };
        Ok(self.0.iter().map(worker).collect())
    }

    fn end(self: Box<Self>) -> Result<(), Unexpected> {
        let mut values = self
            .0
            .iter()
            .flatten()
            .map(|line| line.load(Ordering::Acquire));
        match values.find(|&value| value != 0) {
            Some(value) => Err(Unexpected::Leftover(value.to_string())),
            None => Ok(()),
        }
    }
}

struct FloorWorker<W> {
    lines: Vec<Arc<Line<W>>>,
    amount: u64,
}

impl<W: Word> Worker for FloorWorker<W> {
    fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
        for _ in 0..operations {
            for line in black_box(&self.lines) {
                line.fetch_add(self.amount, Ordering::AcqRel);
            }
            for line in black_box(&self.lines) {
                line.fetch_sub(self.amount, Ordering::AcqRel);
            }
        }
        Ok(())
    }
}
