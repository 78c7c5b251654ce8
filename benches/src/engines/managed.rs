//! Engines that are resource managers. All run the same generic code for each workload.

use std::any::Any;
use std::sync::Arc;

use rcmgr_core::{
    Direction, ManagerStat, Priority, ResourceManager, ResourceScope, Result, ScopeStat,
};

use super::apart::create_workers;
use super::opening::stream;
use super::workers::worker;
use crate::case::{Case, Sharing, Workload};
use crate::engine::{Engine, Setup, Unexpected, Worker};
use crate::setting::{Setting, TIGHT_HELD, peer};

/// An engine that wraps a resource manager.
pub struct Managed<M> {
    /// The name on the command line and in the report.
    pub name: &'static str,
    /// A description in one sentence.
    pub about: &'static str,
    /// Whether it enforces limits.
    pub has_limits: bool,
    /// Creates a manager.
    pub manager: fn(&Setting) -> M,
}

/// An engine that wraps a resource manager with limits. `manager` creates one.
pub fn managed<M: ResourceManager + 'static>(
    name: &'static str,
    about: &'static str,
    manager: fn(&Setting) -> M,
) -> Box<dyn Engine> {
    Box::new(Managed {
        name,
        about,
        has_limits: true,
        manager,
    })
}

impl<M: ResourceManager + 'static> Engine for Managed<M> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn has_limits(&self) -> bool {
        self.has_limits
    }

    fn cannot(&self, case: &Case) -> Option<&'static str> {
        let tight = case.workload.is_refused() || case.workload == Workload::MemoryNearLimit;
        match self.has_limits {
            false if tight => Some("it has no limits"),
            false if case.peers > 0 => Some("it has no peers"),
            _ => None,
        }
    }

    fn set_up(&self, case: &Case) -> Result<Box<dyn Setup>, Unexpected> {
        let setting = Setting::of(case);
        let managers = (0..case.managers()).map(|_| Arc::new((self.manager)(&setting)));
        let managers: Vec<Arc<M>> = managers.collect();
        let mut others: Vec<Box<dyn Any + Send>> = Vec::new();
        for manager in &managers {
            if case.workload == Workload::MemoryNearLimit {
                let other = stream(&**manager, &peer(OTHERS))?;
                other.reserve_memory(TIGHT_HELD, Priority::Always)?;
                others.push(Box::new(other));
            }
            let streams: Result<Vec<_>> = (1..=case.peers as u64)
                .map(|number| manager.open_stream(&peer(OTHERS + number), Direction::Inbound))
                .collect();
            others.push(Box::new(streams?));
        }
        Ok(Box::new(ManagedSetup {
            setting,
            managers,
            others,
        }))
    }
}

/// The first number of the peers that belong to no worker.
const OTHERS: u64 = 1 << 32;

/// The first number of the peers that are at their limit.
const FULL: u64 = 1 << 31;

struct ManagedSetup<M> {
    setting: Setting,
    /// One for all threads, or one for each thread.
    managers: Vec<Arc<M>>,
    /// The streams of other peers, kept open.
    others: Vec<Box<dyn Any + Send>>,
}

impl<M: ResourceManager + 'static> Setup for ManagedSetup<M> {
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
        let Self {
            setting, managers, ..
        } = self;
        create_workers(case.threads, |thread| {
            let manager = &managers[thread % managers.len()];
            let own = match case.sharing {
                Sharing::None | Sharing::Path => 0,
                Sharing::System => thread as u64,
            };
            // A peer at its limit refuses the other workloads too, so no other workload uses these
            // peers.
            let first = if case.workload.is_refused() { FULL } else { 0 };
            worker(manager, setting, case, thread, peer(first + own))
        })
    }

    fn end(self: Box<Self>) -> Result<(), Unexpected> {
        drop(self.others);
        let mut stats = self.managers.iter().map(|manager| manager.stat());
        match stats.find(|stat| !is_zero(stat)) {
            Some(left) => Err(Unexpected::Leftover(format!("{left:?}"))),
            None => Ok(()),
        }
    }
}

fn is_zero(stat: &ManagerStat) -> bool {
    let fixed = [
        &stat.system,
        &stat.transient,
        &stat.allowlisted_system,
        &stat.allowlisted_transient,
    ];
    let named = stat.services.values().chain(stat.protocols.values());
    let mut all = fixed.into_iter().chain(named).chain(stat.peers.values());
    all.all(ScopeStat::is_zero)
}
