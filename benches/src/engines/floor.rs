//! The floor: only the atomic additions that are needed to charge every scope.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use super::chain::chains;
use crate::case::{Case, Workload};
use crate::engine::{Engine, Setup, Unexpected, Worker};

/// Adds to one cache line for each scope of a workload, then subtracts again.
pub struct Floor;

/// A counter that shares no cache line with another.
type Line = CachePadded<AtomicU64>;

impl Engine for Floor {
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
            Line::default,
            Line::default,
        ))))
    }
}

/// The cache lines of each thread.
struct FloorSetup(Vec<Vec<Arc<Line>>>);

impl Setup for FloorSetup {
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
        let amount = match case.workload {
            Workload::Memory | Workload::MemoryNearLimit | Workload::Span => case.size,
            _ => 1,
        };
        let worker = |lines: &Vec<Arc<Line>>| -> Box<dyn Worker> {
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

struct FloorWorker {
    lines: Vec<Arc<Line>>,
    amount: u64,
}

impl Worker for FloorWorker {
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
