//! A chain of semaphores, one for each scope: the usual solution of a program that has tokio but no
//! resource manager. A permit is one byte. There are no names, owners or moves, so this engine can
//! only reserve memory.

use std::sync::Arc;

use crossbeam_utils::CachePadded;
use tokio::sync::Semaphore;

use super::chain::{chains, room};
use crate::case::{Case, Workload};
use crate::engine::{Engine, Setup, Unexpected, Worker};

/// The chain of semaphores.
pub struct Semaphores;

/// A semaphore that shares no cache line with another. Otherwise the result would depend on where the
/// allocator puts the chains of several threads.
type Scope = CachePadded<Semaphore>;

impl Engine for Semaphores {
    fn name(&self) -> &'static str {
        "semaphore"
    }

    fn about(&self) -> &'static str {
        "a tokio semaphore for each scope; a permit is one byte"
    }

    fn has_limits(&self) -> bool {
        true
    }

    fn cannot(&self, case: &Case) -> Option<&'static str> {
        match case.workload {
            Workload::Memory | Workload::MemoryNearLimit if case.peers > 0 => {
                Some("it has no peers")
            }
            Workload::Memory | Workload::MemoryNearLimit => None,
            _ => Some("it can only reserve memory, because it has no names, owners or moves"),
        }
    }

    fn set_up(&self, case: &Case) -> Result<Box<dyn Setup>, Unexpected> {
        let chain = |scopes: Vec<Arc<Scope>>| Chain {
            full: permits(&scopes),
            scopes,
        };
        let semaphore = |class| {
            let permits = room(case, class) as usize;
            Arc::new(Scope::new(Semaphore::new(permits)))
        };
        let chains = chains(case, semaphore);
        Ok(Box::new(Chains(chains.into_iter().map(chain).collect())))
    }
}

fn permits(scopes: &[Arc<Scope>]) -> Vec<usize> {
    scopes
        .iter()
        .map(|scope| scope.available_permits())
        .collect()
}

/// The scopes of each thread.
struct Chains(Vec<Chain>);

struct Chain {
    scopes: Vec<Arc<Scope>>,
    /// The number of permits of each scope when nothing is reserved.
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
            match scope.try_acquire_many(self.size) {
                Ok(permits) => permits.forget(),
                Err(refused) => {
                    self.release(at);
                    return Err(Unexpected::Refused(refused.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Releases the first `count` scopes, in reverse order.
    fn release(&self, count: usize) {
        for scope in self.scopes[..count].iter().rev() {
            scope.add_permits(self.size as usize);
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
