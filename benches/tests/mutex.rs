//! The mutex engine does what this engine does: the same operations are granted, the same refused
//! by the same scope, and the same is in use after each.

use std::sync::Arc;

use rcmgr_atomic::{
    ConnectionScope, Direction, Endpoint, Error, Limit, LimitValue, Limits, Manager, ManagerStat,
    Priority, Resource, ResourceManager, ResourceScope, Result, ScopeClass, StreamScope,
    SystemClock, UsesFd,
};
use rcmgr_study::{MutexResourceManager, peer};

/// Everything is tight, in different ways.
fn limits() -> Limits {
    let all = |memory: u64, slots: u64| Limit {
        memory: memory.into(),
        ..Limit::all(LimitValue::Limited(slots))
    };
    let mut limits = Limits::unlimited();
    limits.system = all(4000, 12);
    limits.transient = all(1500, 6);
    limits.service_default = Some(all(2500, 7));
    limits.service_peer_default = all(1200, 4);
    limits.protocol_default = all(2600, 8);
    limits.protocol_peer_default = all(1300, 4);
    limits.peer_default = all(1800, 5);
    limits.conn = all(900, 1);
    limits.stream = all(800, 1);
    limits
}

/// What one manager has open, in the order in which the others have theirs.
struct Open<M: ResourceManager> {
    manager: M,
    connections: Vec<M::Connection>,
    streams: Vec<M::Stream>,
    spans: Vec<<M::Stream as ResourceScope>::Span>,
}

/// Which operation, and what it chooses.
#[derive(Debug, Clone, Copy)]
struct Step {
    what: u8,
    which: usize,
    name: u64,
    size: u64,
    priority: u8,
}

impl<M: ResourceManager> Open<M> {
    fn new(manager: M) -> Self {
        Self {
            manager,
            connections: Vec::new(),
            streams: Vec::new(),
            spans: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) -> Result<()> {
        let Step { which, size, .. } = step;
        let priority = Priority::Level(step.priority);
        let direction = Direction::ALL[step.size as usize % 2];
        let name = ["a", "b", "c"][step.name as usize];
        let connection = which.checked_rem(self.connections.len());
        let stream = which.checked_rem(self.streams.len());
        let span = which.checked_rem(self.spans.len());
        match (step.what, connection, stream, span) {
            (0, ..) => {
                let uses_fd = UsesFd::from(!step.size.is_multiple_of(3));
                let opened = self
                    .manager
                    .open_connection(direction, uses_fd, Endpoint::None)?;
                self.connections.push(opened);
            }
            (1, Some(at), ..) => self.connections[at].set_peer(&peer(step.name))?,
            (2, Some(at), ..) => self.connections[at].set_service(name)?,
            (3, Some(at), ..) => self.connections[at].reserve_memory(size, priority)?,
            (4, Some(at), ..) => drop(self.connections.remove(at)),
            (5 | 6, ..) => {
                let opened = self.manager.open_stream(&peer(step.name), direction)?;
                self.streams.push(opened);
            }
            (7, _, Some(at), _) => self.streams[at].set_protocol(name)?,
            (8, _, Some(at), _) => self.streams[at].set_service(name)?,
            (9, _, Some(at), _) => self.streams[at].reserve_memory(size, priority)?,
            (10, _, Some(at), _) => drop(self.streams.remove(at)),
            (11, _, Some(at), _) => self.spans.push(self.streams[at].begin_span()?),
            (12, _, _, Some(at)) => self.spans[at].reserve_memory(size, priority)?,
            (13, _, _, Some(at)) => self.spans[at].release(),
            (14, _, _, Some(at)) => drop(self.spans.remove(at)),
            _ => {}
        }
        Ok(())
    }

    /// What is in use, without those that use nothing: one manager forgets them, the other not.
    fn stat(&self) -> ManagerStat {
        let mut stat = self.manager.stat();
        stat.services.retain(|_, used| !used.is_zero());
        stat.protocols.retain(|_, used| !used.is_zero());
        stat.peers.retain(|_, used| !used.is_zero());
        stat
    }
}

/// Why it was refused, without the numbers of connections and streams.
#[derive(Debug, PartialEq, Eq)]
enum Why {
    Limit(ScopeClass, Resource, u64, LimitValue),
    Other(String),
}

fn why(refused: &Error) -> Why {
    match refused {
        Error::LimitExceeded(why) => {
            Why::Limit(why.scope.class(), why.resource, why.used, why.limit)
        }
        Error::ScopeClosed { .. } => Why::Other("closed".to_owned()),
        Error::AlreadyAttached { to, .. } => Why::Other(format!("attached to a {to}")),
        Error::NoProtocol { .. } => Why::Other("no protocol".to_owned()),
        other => Why::Other(other.to_string()),
    }
}

#[test]
fn it_grants_refuses_and_counts_the_same() {
    let mut granted = 0;
    let mut refused = 0;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let clock = Arc::new(SystemClock::new());
        let mut one = Open::new(MutexResourceManager::new(limits(), clock).unwrap());
        let mut other = Open::new(Manager::new(limits()).unwrap());
        for _ in 0..100 {
            let step = Step {
                what: random.u8(..15),
                which: random.usize(..),
                name: random.u64(..3),
                size: random.u64(1..600),
                priority: [101, 152, 255][random.usize(..3)],
            };
            let [did, should] = [one.step(step), other.step(step)];
            let [did, should] = [did, should].map(|done| done.map_err(|error| why(&error)));
            assert_eq!(did, should, "seed {seed}, {step:?}");
            assert_eq!(one.stat(), other.stat(), "seed {seed}, {step:?}");
            match did {
                Ok(()) => granted += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(granted > 1000 && refused > 1000, "{granted} and {refused}");
}
