//! Random operations.

use std::sync::Arc;

use fastrand::Rng;
use rcmgr_core::{
    AddressLimits, Direction, Endpoint, Limit, LimitValue, Limits, PeerId, Priority, ScopeId,
    UsesFd,
};

use crate::{On, Op, Remote};

/// The kinds of random operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Opens a connection.
    OpenConnection,
    /// Opens a stream with a peer.
    OpenStream,
    /// Opens a stream with a peer and a protocol, and half the time with a service.
    OpenStreamWith,
    /// Opens a stream through a connection, half the time with a protocol.
    OpenStreamThrough,
    /// Begins a span.
    BeginSpan,
    /// Sets the peer of a connection.
    SetPeer,
    /// Sets the protocol of a stream.
    SetProtocol,
    /// Sets the service of a connection or stream.
    SetService,
    /// Reserves memory.
    Reserve,
    /// Reserves memory and gives it back at once.
    Hold,
    /// Releases memory, more than is held now and then.
    Release,
    /// Releases all memory that a scope itself holds.
    ReleaseAll,
    /// Closes a handle.
    Done,
    /// Drops a handle.
    Drop,
    /// Sets the limit of one scope to a random one, or takes it back.
    SetLimit,
    /// Replaces all limits by random ones.
    SetLimits,
    /// Closes the manager.
    Close,
}

/// What random operations are drawn from.
#[derive(Debug, Clone)]
pub struct RandomOps {
    /// The kinds, each with its weight.
    pub kinds: Vec<(u32, Kind)>,
    /// How many of 100 operations on a scope are on a shared scope. The others are on a handle.
    pub on_shared: u8,
    /// The peers.
    pub peers: Vec<PeerId>,
    /// The protocols.
    pub protocols: Vec<Arc<str>>,
    /// The services.
    pub services: Vec<Arc<str>>,
    /// The remote addresses of connections.
    pub endpoints: Vec<Endpoint>,
    /// The limits by address, which random limits keep.
    pub addresses: AddressLimits,
    /// The priorities.
    pub priorities: Vec<Priority>,
    /// Draws an amount of memory.
    pub size: fn(&mut Rng) -> u64,
}

impl RandomOps {
    /// Draws an operation.
    ///
    /// # Panics
    ///
    /// If there is nothing to draw from.
    pub fn draw(&self, rng: &mut Rng) -> Op {
        match self.kind(rng) {
            Kind::OpenConnection => Op::OpenConnection {
                slot: slot(rng),
                direction: any(rng, &Direction::ALL),
                uses_fd: UsesFd::from(rng.bool()),
                endpoint: any(rng, &self.endpoints),
            },
            Kind::OpenStream => {
                let remote = Remote::Peer(any(rng, &self.peers));
                self.open_stream(rng, remote, false)
            }
            Kind::OpenStreamWith => {
                let remote = Remote::Peer(any(rng, &self.peers));
                self.open_stream(rng, remote, true)
            }
            Kind::OpenStreamThrough => {
                let with_protocol = rng.bool();
                let remote = Remote::Connection(slot(rng));
                self.open_stream(rng, remote, with_protocol)
            }
            Kind::BeginSpan => Op::BeginSpan {
                slot: slot(rng),
                on: self.on(rng),
            },
            Kind::SetPeer => Op::SetPeer(slot(rng), any(rng, &self.peers)),
            Kind::SetProtocol => Op::SetProtocol(slot(rng), any(rng, &self.protocols)),
            Kind::SetService => Op::SetService(slot(rng), any(rng, &self.services)),
            Kind::Reserve => {
                let on = self.on(rng);
                Op::Reserve(on, (self.size)(rng), any(rng, &self.priorities))
            }
            Kind::Hold => {
                let on = self.on(rng);
                Op::Hold(on, (self.size)(rng), any(rng, &self.priorities))
            }
            Kind::Release => Op::Release(self.on(rng), (self.size)(rng)),
            Kind::ReleaseAll => Op::ReleaseAll(self.on(rng)),
            Kind::Done => Op::Done(slot(rng)),
            Kind::Drop => Op::Drop(slot(rng)),
            Kind::SetLimit => {
                let limit = (rng.u8(..10) < 7).then(|| roomy_limit(rng));
                Op::SetLimit(self.on(rng), limit)
            }
            Kind::SetLimits => Op::SetLimits(Box::new(random_limits(rng, self))),
            Kind::Close => Op::Close,
        }
    }

    fn kind(&self, rng: &mut Rng) -> Kind {
        let total: u32 = self.kinds.iter().map(|(weight, _)| weight).sum();
        let mut at = rng.u32(..total);
        for &(weight, kind) in &self.kinds {
            match at.checked_sub(weight) {
                None => return kind,
                Some(rest) => at = rest,
            }
        }
        unreachable!("the number is below the sum of the weights")
    }

    fn open_stream(&self, rng: &mut Rng, remote: Remote, with_protocol: bool) -> Op {
        let protocol = with_protocol.then(|| any(rng, &self.protocols));
        let service = (with_protocol && rng.bool()).then(|| any(rng, &self.services));
        Op::OpenStream {
            slot: slot(rng),
            remote,
            direction: any(rng, &Direction::ALL),
            protocol,
            service,
        }
    }

    fn on(&self, rng: &mut Rng) -> On {
        if rng.u8(..100) >= self.on_shared {
            return On::Handle(slot(rng));
        }
        On::Scope(match rng.u8(..5) {
            0 => ScopeId::System,
            1 => ScopeId::Transient,
            2 => ScopeId::Service(any(rng, &self.services)),
            3 => ScopeId::Protocol(any(rng, &self.protocols)),
            _ => ScopeId::Peer(any(rng, &self.peers)),
        })
    }
}

fn slot(rng: &mut Rng) -> usize {
    rng.usize(..)
}

fn any<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    rng.choice(of).expect("there is a choice").clone()
}

fn limit_value(rng: &mut Rng, below: u64) -> LimitValue {
    match rng.u8(..6) {
        0 | 1 => LimitValue::Unlimited,
        _ => LimitValue::Limited(rng.u64(..below)),
    }
}

/// A limit with mostly tight fields: sequences of some dozens of operations exceed it.
pub fn random_limit(rng: &mut Rng) -> Limit {
    let memory = any(rng, &[3000, 40_000, 400_000]);
    let count = |rng: &mut Rng| match rng.u8(..5) {
        0..3 => limit_value(rng, 6),
        // With room for hundreds of streams, an engine may keep some in reserve.
        _ => limit_value(rng, 600),
    };
    Limit {
        memory: limit_value(rng, memory),
        fd: count(rng),
        streams: count(rng),
        streams_inbound: count(rng),
        streams_outbound: count(rng),
        conns: count(rng),
        conns_inbound: count(rng),
        conns_outbound: count(rng),
    }
}

/// Mostly unlimited, so that sequences get somewhere.
fn roomy_limit(rng: &mut Rng) -> Limit {
    match rng.u8(..3) {
        0 => random_limit(rng),
        _ => Limit::UNLIMITED,
    }
}

/// Limits for all scopes. Some are tight, some names have their own, and some limits have a dry run.
pub fn random_limits(rng: &mut Rng, names: &RandomOps) -> Limits {
    let mut limits = limits_without_dry_run(rng, names);
    if rng.u8(..3) == 0 {
        limits.dry_run = Some(Arc::new(limits_without_dry_run(rng, names)));
    }
    limits
}

fn limits_without_dry_run(rng: &mut Rng, names: &RandomOps) -> Limits {
    let mut limits = Limits::unlimited();
    limits.addresses = names.addresses.clone();
    for limit in [
        &mut limits.system,
        &mut limits.transient,
        &mut limits.allowlisted_system,
        &mut limits.allowlisted_transient,
        &mut limits.service_peer_default,
        &mut limits.protocol_default,
        &mut limits.protocol_peer_default,
        &mut limits.peer_default,
        &mut limits.conn,
        &mut limits.stream,
    ] {
        *limit = roomy_limit(rng);
    }
    limits.service_default = Some(roomy_limit(rng));
    if rng.bool() {
        let service = any(rng, &names.services);
        limits.service.insert(service.to_string(), roomy_limit(rng));
    }
    if rng.bool() {
        let service = any(rng, &names.services);
        limits
            .service_peer
            .insert(service.to_string(), roomy_limit(rng));
    }
    if rng.bool() {
        let protocol = any(rng, &names.protocols);
        limits
            .protocol
            .insert(protocol.to_string(), roomy_limit(rng));
    }
    if rng.bool() {
        let protocol = any(rng, &names.protocols);
        limits
            .protocol_peer
            .insert(protocol.to_string(), roomy_limit(rng));
    }
    if rng.bool() {
        let peer = any(rng, &names.peers);
        limits.peer.insert(peer, roomy_limit(rng));
    }
    limits
}
