//! A chain of semaphores, one for each scope: what a program does that has tokio and no resource
//! manager. Permits are bytes. It has no names, no owners and no moves, so all it can do is to
//! reserve memory.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::chain::chains;
use crate::engine::{Engine, Setup, Unexpected, Worker};
use crate::setting::{TIGHT_HELD, TIGHT_LIMIT};
use crate::{Case, Workload};

/// The chain of semaphores.
pub struct Semaphores;

/// A semaphore on cache lines of its own: it is not to lose by how the allocator lays out the
/// chains of several threads.
#[repr(align(128))]
struct Scope(Semaphore);

/// Permits where the limit is never reached.
const PLENTY: usize = 1 << 40;

impl Engine for Semaphores {
    fn name(&self) -> &'static str {
        "semaphore"
    }

    fn about(&self) -> &'static str {
        "a tokio semaphore for each scope, whose permits are bytes"
    }

    fn has_limits(&self) -> bool {
        true
    }

    fn cannot(&self, case: &Case) -> Option<&'static str> {
        match case.workload {
            Workload::Memory | Workload::MemoryNearLimit if case.peers > 0 => {
                Some("it keeps no peers")
            }
            Workload::Memory | Workload::MemoryNearLimit => None,
            _ => Some("it can only reserve memory: it has no names, owners or moves"),
        }
    }

    fn set_up(&self, case: &Case) -> Result<Box<dyn Setup>, Unexpected> {
        // What others hold is simply not there.
        let system = match case.workload {
            Workload::MemoryNearLimit => (TIGHT_LIMIT - TIGHT_HELD) as usize,
            _ => PLENTY,
        };
        let chain = |scopes: Vec<Arc<Scope>>| Chain {
            full: permits(&scopes),
            scopes,
        };
        let chains = chains(
            case,
            || Scope(Semaphore::new(PLENTY)),
            || Scope(Semaphore::new(system)),
        );
        Ok(Box::new(Chains(chains.into_iter().map(chain).collect())))
    }
}

fn permits(scopes: &[Arc<Scope>]) -> Vec<usize> {
    scopes
        .iter()
        .map(|scope| scope.0.available_permits())
        .collect()
}

/// The scopes of each thread.
struct Chains(Vec<Chain>);

struct Chain {
    scopes: Vec<Arc<Scope>>,
    /// How many permits each has at rest.
    full: Vec<usize>,
}

impl Setup for Chains {
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
        let size = u32::try_from(case.size).expect("a reservation is less than 4 GiB");
        let worker = |chain: &Chain| -> Box<dyn Worker> {
            Box::new(SemaphoreWorker {
                scopes: chain.scopes.clone(),
                size,
            })
        };
        Ok(self.0.iter().map(worker).collect())
    }

    fn end(self: Box<Self>) -> Result<(), Unexpected> {
        for Chain { scopes, full } in &self.0 {
            let left = permits(scopes);
            if left != *full {
                let what = format!("{left:?} permits of {full:?}");
                return Err(Unexpected::Leftover(what));
            }
        }
        Ok(())
    }
}

struct SemaphoreWorker {
    scopes: Vec<Arc<Scope>>,
    size: u32,
}

impl SemaphoreWorker {
    fn reserve(&self) -> Result<(), Unexpected> {
        for (at, scope) in self.scopes.iter().enumerate() {
            match scope.0.try_acquire_many(self.size) {
                Ok(permits) => permits.forget(),
                Err(refused) => {
                    self.release(at);
                    return Err(Unexpected::Refused(refused.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Gives back to the first `count` scopes, the last of them first.
    fn release(&self, count: usize) {
        for scope in self.scopes[..count].iter().rev() {
            scope.0.add_permits(self.size as usize);
        }
    }
}

impl Worker for SemaphoreWorker {
    fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
        for _ in 0..operations {
            self.reserve()?;
            self.release(self.scopes.len());
        }
        Ok(())
    }
}
