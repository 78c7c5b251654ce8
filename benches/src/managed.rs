//! Engines that are resource managers: they do every workload, all in the same words.

use std::any::Any;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;

use parking_lot::Mutex;
use rcmgr_core::{
    ConnectionScope, Direction, Endpoint, ManagerStat, PeerId, Priority, ResourceManager,
    ResourceScope, Result, ScopeStat, StreamScope, UsesFd,
};

use crate::engine::{Engine, Setup, Unexpected, Worker};
use crate::setting::{PROTOCOL, SERVICE, Setting, TIGHT_HELD, peer};
use crate::workers::worker;
use crate::{Case, Sharing, Workload};

/// An engine made of a resource manager.
pub struct Managed<M> {
    /// The name on the command line and in the report.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether it refuses anything.
    pub has_limits: bool,
    /// Makes a manager.
    pub manager: fn(&Setting) -> M,
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
            false if case.peers > 0 => Some("it keeps no peers"),
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

/// Peers from this number on are none of the workers'.
const OTHERS: u64 = 1 << 32;

/// Peers from this number on are those that have no room.
const FULL: u64 = 1 << 31;

/// A stream with protocol and service.
///
/// # Errors
///
/// What the manager says.
pub fn stream<M: ResourceManager>(manager: &M, peer: &PeerId) -> Result<M::Stream> {
    attached(manager.open_stream(peer, Direction::Inbound)?)
}

/// The same, through a connection to the peer.
///
/// # Errors
///
/// What the manager says.
#[inline]
pub fn stream_through<C: ConnectionScope>(connection: &C) -> Result<C::Stream> {
    attached(connection.open_stream(Direction::Inbound)?)
}

#[inline]
fn attached<S: StreamScope>(stream: S) -> Result<S> {
    stream.set_protocol(PROTOCOL)?;
    stream.set_service(SERVICE)?;
    Ok(stream)
}

/// A connection with its peer.
///
/// # Errors
///
/// What the manager says.
pub fn connection<M: ResourceManager>(
    manager: &M,
    from: Endpoint,
    peer: &PeerId,
) -> Result<M::Connection> {
    let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, from)?;
    connection.set_peer(peer)?;
    Ok(connection)
}

struct ManagedSetup<M> {
    setting: Setting,
    /// One, or one for each thread.
    managers: Vec<Arc<M>>,
    /// What others have open.
    others: Vec<Box<dyn Any + Send>>,
}

impl<M: ResourceManager + 'static> Setup for ManagedSetup<M> {
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
        let Self {
            setting, managers, ..
        } = self;
        made_apart(case.threads, |thread| {
            let manager = &managers[thread % managers.len()];
            let own = match case.sharing {
                Sharing::None | Sharing::Path => 0,
                Sharing::System => thread as u64,
            };
            // What is full is full for everybody: it is nobody's peer otherwise.
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

/// Makes each worker on a thread of its own, as in a server: made by one thread, the streams of
/// several would be neighbours in memory and fight for cache lines that they do not share.
fn made_apart(
    threads: usize,
    make: impl Fn(usize) -> Result<Box<dyn Worker>, Unexpected> + Sync,
) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
    let all_there = Barrier::new(threads);
    let turn = Mutex::new(());
    let make_one = &|thread| {
        // The allocator picks a part of memory for the thread now, while the others have theirs.
        drop(black_box(Box::new(thread)));
        all_there.wait();
        let _turn = turn.lock();
        make(thread)
    };
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || make_one(thread)))
            .collect();
        let made = started.into_iter().map(|thread| thread.join());
        made.map(|made| made.expect("making a worker does not panic"))
            .collect()
    })
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
