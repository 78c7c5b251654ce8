//! The engine against the sequential model: random operations, the same outcome to the letter, and
//! after each of them the same usage, peaks, refusals and over-releases everywhere.

mod by_memory;
mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;

use by_memory::by_memory;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rcmgr_atomic::address::{AddressConfig, RateLimits, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{
    ConnMemory, Connection, ConnectionScope, Direction, Endpoint, Limit, LimitValue, Limits,
    Manager, PeerId, Priority, ResourceManager, ResourceScope, Result, ScopeClass, ScopeId,
    ScopeSpan, ScopeStat, Span, Stream, StreamScope, UsesFd,
};
use support::{Addresses, Model, On};

const PEERS: [&str; 2] = [
    "12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
    "tenant-7",
];
const PROTOCOLS: [&str; 2] = ["/ipfs/kad/1.0.0", "/ping"];
const SERVICES: [&str; 2] = ["dht", "relay"];

/// Where connections come from: a network that the allowlist has, an address that it has for the
/// first peer, and one that it has not.
const ADDRESSES: [&str; 3] = ["10.1.2.3", "192.0.2.1", "198.51.100.1"];
/// How many connections an address may have, if the allowlist says nothing else.
const EACH: u64 = 3;

/// With whom a stream is opened: a peer, or the peer of a connection.
#[derive(Debug, Clone)]
enum Remote {
    Peer(PeerId),
    Connection(usize),
}

/// One operation. A handle is a number that is taken modulo how many there are.
#[derive(Debug, Clone)]
enum Op {
    OpenConnection(Direction, UsesFd, Option<IpAddr>),
    OpenStream(
        Remote,
        Direction,
        Option<&'static str>,
        Option<&'static str>,
    ),
    SetPeer(usize, PeerId),
    SetProtocol(usize, &'static str),
    SetService(usize, &'static str),
    Reserve(On, u64, Priority),
    Release(On, u64),
    ReleaseAll(On),
    BeginSpan(On),
    Done(usize),
    SetLimit(On, Option<Limit>),
    SetLimits(Box<Limits>),
    Close,
}

fn direction() -> impl Strategy<Value = Direction> {
    select(&Direction::ALL[..])
}

fn peer() -> impl Strategy<Value = PeerId> {
    select(&PEERS[..]).prop_map(|peer| peer.parse().expect("a peer id"))
}

fn remote() -> impl Strategy<Value = Remote> {
    prop_oneof![
        peer().prop_map(Remote::Peer),
        any::<usize>().prop_map(Remote::Connection),
    ]
}

fn address() -> impl Strategy<Value = Option<IpAddr>> {
    option::of(select(&ADDRESSES[..]).prop_map(|ip| ip.parse().expect("an address")))
}

fn named() -> impl Strategy<Value = ScopeId> {
    prop_oneof![
        Just(ScopeId::System),
        Just(ScopeId::Transient),
        peer().prop_map(ScopeId::Peer),
        select(&PROTOCOLS[..]).prop_map(|id| ScopeId::Protocol(id.into())),
        select(&SERVICES[..]).prop_map(|name| ScopeId::Service(name.into())),
    ]
}

fn on() -> impl Strategy<Value = On> {
    prop_oneof![
        3 => any::<usize>().prop_map(On::Handle),
        1 => named().prop_map(On::Named),
    ]
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..600_u64,
        2 => 0..40_000_u64,
        1 => select(&[1_u64 << 24, 1 << 32, 1 << 54, 1 << 55][..]),
    ]
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![
        3 => Just(Priority::Always),
        2 => select(&[Priority::Low, Priority::Medium, Priority::High][..]),
        1 => any::<u8>().prop_map(Priority::Level),
    ]
}

fn limit_value(most: u64) -> impl Strategy<Value = LimitValue> {
    prop_oneof![
        4 => (0..most).prop_map(LimitValue::Limited),
        2 => Just(LimitValue::Unlimited),
    ]
}

fn limit() -> impl Strategy<Value = Limit> {
    let memory = prop_oneof![limit_value(3000), limit_value(40_000), limit_value(400_000)];
    // With hundreds there is credit of streams.
    let count = prop_oneof![3 => limit_value(6), 2 => limit_value(600)];
    (memory, vec(count, 7)).prop_map(|(memory, counts)| Limit {
        memory,
        fd: counts[0],
        streams: counts[1],
        streams_inbound: counts[2],
        streams_outbound: counts[3],
        conns: counts[4],
        conns_inbound: counts[5],
        conns_outbound: counts[6],
    })
}

/// Mostly roomy, so that sequences get somewhere; each scope tight now and then.
fn loose_limit() -> impl Strategy<Value = Limit> {
    prop_oneof![2 => Just(Limit::UNLIMITED), 1 => limit()]
}

fn limits() -> impl Strategy<Value = Limits> {
    (vec(loose_limit(), 13), any::<u16>()).prop_map(|(limit, entries)| {
        let mut limits = Limits::unlimited();
        limits.system = limit[0];
        limits.transient = limit[1];
        limits.service_default = Some(limit[2]);
        limits.service_peer_default = limit[3];
        limits.protocol_default = limit[4];
        limits.protocol_peer_default = limit[5];
        limits.peer_default = limit[6];
        limits.conn = limit[7];
        limits.stream = limit[8];
        limits.allowlisted_system = limit[11];
        limits.allowlisted_transient = limit[12];
        if entries & 1 != 0 {
            limits.service.insert(SERVICES[0].into(), limit[9]);
        }
        if entries & 2 != 0 {
            limits.protocol.insert(PROTOCOLS[0].into(), limit[9]);
        }
        if entries & 4 != 0 {
            let peer = PEERS[0].parse().expect("a peer id");
            limits.peer.insert(peer, limit[10]);
        }
        if entries & 8 != 0 {
            limits.service_peer.insert(SERVICES[1].into(), limit[10]);
        }
        if entries & 16 != 0 {
            limits.protocol_peer.insert(PROTOCOLS[1].into(), limit[10]);
        }
        limits
    })
}

fn op() -> impl Strategy<Value = Op> {
    let at = any::<usize>;
    prop_oneof![
        8 => (direction(), any::<bool>(), address())
            .prop_map(|(direction, uses_fd, ip)| Op::OpenConnection(direction, uses_fd.into(), ip)),
        8 => (remote(), direction()).prop_map(|(remote, direction)| {
            Op::OpenStream(remote, direction, None, None)
        }),
        6 => (remote(), direction(), select(&PROTOCOLS[..]), option::of(select(&SERVICES[..])))
            .prop_map(|(remote, direction, protocol, service)| {
                Op::OpenStream(remote, direction, Some(protocol), service)
            }),
        8 => (at(), peer()).prop_map(|(at, peer)| Op::SetPeer(at, peer)),
        8 => (at(), select(&PROTOCOLS[..])).prop_map(|(at, id)| Op::SetProtocol(at, id)),
        8 => (at(), select(&SERVICES[..])).prop_map(|(at, name)| Op::SetService(at, name)),
        14 => (on(), size(), priority())
            .prop_map(|(on, size, priority)| Op::Reserve(on, size, priority)),
        8 => (on(), size()).prop_map(|(on, size)| Op::Release(on, size)),
        2 => on().prop_map(Op::ReleaseAll),
        5 => on().prop_map(Op::BeginSpan),
        6 => at().prop_map(Op::Done),
        4 => (on(), option::weighted(0.7, loose_limit()))
            .prop_map(|(on, limit)| Op::SetLimit(on, limit)),
        1 => limits().prop_map(|limits| Op::SetLimits(Box::new(limits))),
        1 => Just(Op::Close),
    ]
}

enum Handle {
    Connection(Connection),
    Stream(Stream),
    Span(Span),
}

impl Handle {
    fn scope(&self) -> &dyn ResourceScope<Span = Span> {
        match self {
            Self::Connection(connection) => connection,
            Self::Stream(stream) => stream,
            Self::Span(span) => span,
        }
    }
}

/// The engine and the model, which do the same.
struct Pair {
    manager: Manager,
    handles: Vec<Handle>,
    model: Model,
    /// Whether a peak of memory or streams may have credit in it.
    has_credit: bool,
}

impl Pair {
    fn new(limits: Limits, credit: u64, after: u64) -> Self {
        let for_one = format!("/ip4/{}/p2p/{}", ADDRESSES[1], PEERS[0]);
        let allowlist = ["/ip4/10.0.0.0/ipcidr/8", &for_one];
        let config = AddressConfig {
            allowlist: allowlist
                .map(|entry| entry.parse().expect("a multiaddr"))
                .to_vec(),
            subnets: SubnetLimits {
                v4: vec![SubnetLimit {
                    prefix_len: 32,
                    conns: EACH,
                }],
                ..SubnetLimits::none()
            },
            rates: RateLimits::none(),
        };
        let manager = Manager::builder()
            .limits(limits.clone())
            .addresses(config)
            .prepaid_credit(credit, credit)
            .credit_after(after);
        let ten = "10.0.0.0/8".parse().expect("a network");
        let one = ADDRESSES[1].parse::<IpAddr>().expect("an address");
        let addresses = Addresses {
            allowlist: vec![
                (ten, None),
                (one.into(), Some(PEERS[0].parse().expect("a peer id"))),
            ],
            networks: [(ten, limits.allowlisted_system.conns)].into(),
            each: EACH,
            ..Addresses::default()
        };
        Self {
            manager: manager.build().expect("the configuration works"),
            handles: Vec::new(),
            model: Model::new(limits, addresses),
            has_credit: credit > 0,
        }
    }

    fn at(&self, number: usize) -> Option<usize> {
        number.checked_rem(self.handles.len())
    }

    fn resolve(&self, on: &On) -> Option<On> {
        match on {
            On::Named(id) => Some(On::Named(id.clone())),
            On::Handle(number) => self.at(*number).map(On::Handle),
        }
    }

    /// Calls `f` on the engine's scope.
    fn on<R>(&mut self, on: &On, f: impl FnOnce(&dyn ResourceScope<Span = Span>) -> R) -> R {
        let id = match on {
            On::Handle(at) => return f(self.handles[*at].scope()),
            On::Named(id) => id,
        };
        self.model.viewed(id);
        let view = match id {
            ScopeId::System => self.manager.view_system(),
            ScopeId::Transient => self.manager.view_transient(),
            ScopeId::Service(name) => self.manager.view_service(name),
            ScopeId::Protocol(id) => self.manager.view_protocol(id),
            ScopeId::Peer(peer) => self.manager.view_peer(peer),
            other => unreachable!("{other} has no view"),
        };
        f(&view)
    }

    /// Performs an operation on both, and compares what comes out.
    fn perform(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::OpenConnection(direction, uses_fd, ip) => {
                let endpoint = ip.map_or(Endpoint::None, Endpoint::from);
                let got = self.manager.open_connection(direction, uses_fd, endpoint);
                let want = self.model.open_connection(direction, uses_fd, ip);
                self.keep(got.map(Handle::Connection), want)?;
            }
            Op::OpenStream(Remote::Peer(peer), direction, protocol, service) => {
                let got = match protocol {
                    None => self.manager.open_stream(&peer, direction),
                    Some(protocol) => {
                        let manager = &self.manager;
                        manager.open_stream_with(&peer, direction, protocol, service)
                    }
                };
                let want = self.model.open_stream(peer, direction, protocol, service);
                self.keep(got.map(Handle::Stream), want)?;
            }
            Op::OpenStream(Remote::Connection(number), direction, protocol, service) => {
                if let Some(at) = self.at(number)
                    && let Handle::Connection(connection) = &self.handles[at]
                {
                    let got = match protocol {
                        None => connection.open_stream(direction),
                        Some(protocol) => connection.open_stream_with(direction, protocol, service),
                    };
                    let model = &mut self.model;
                    let want = model.open_stream_through(at, direction, protocol, service);
                    self.keep(got.map(Handle::Stream), want)?;
                }
            }
            Op::SetPeer(number, peer) => {
                if let Some(at) = self.at(number)
                    && let Handle::Connection(connection) = &self.handles[at]
                {
                    prop_assert_eq!(connection.set_peer(&peer), self.model.set_peer(at, peer));
                }
            }
            Op::SetProtocol(number, protocol) => {
                if let Some(at) = self.at(number)
                    && let Handle::Stream(stream) = &self.handles[at]
                {
                    let got = stream.set_protocol(protocol);
                    prop_assert_eq!(got, self.model.set_protocol(at, protocol));
                }
            }
            Op::SetService(number, service) => {
                let Some(at) = self.at(number) else {
                    return Ok(());
                };
                let got = match &self.handles[at] {
                    Handle::Connection(connection) => connection.set_service(service),
                    Handle::Stream(stream) => stream.set_service(service),
                    Handle::Span(_) => return Ok(()),
                };
                prop_assert_eq!(got, self.model.set_service(at, service));
            }
            Op::Reserve(on, size, priority) => {
                if let Some(on) = self.resolve(&on) {
                    let got = self.on(&on, |scope| scope.reserve_memory(size, priority));
                    prop_assert_eq!(got, self.model.reserve(&on, size, priority));
                }
            }
            Op::Release(on, size) => {
                if let Some(on) = self.resolve(&on) {
                    self.on(&on, |scope| scope.release_memory(size));
                    self.model.release(&on, size);
                }
            }
            Op::ReleaseAll(on) => {
                if let Some(on) = self.resolve(&on) {
                    self.on(&on, |scope| scope.release());
                    self.model.release_all(&on);
                }
            }
            Op::BeginSpan(on) => {
                if let Some(on) = self.resolve(&on) {
                    let got = self.on(&on, |scope| scope.begin_span());
                    let want = self.model.begin_span(&on);
                    self.keep(got.map(Handle::Span), want)?;
                }
            }
            Op::Done(number) => {
                if let Some(at) = self.at(number) {
                    match &self.handles[at] {
                        Handle::Connection(connection) => connection.done(),
                        Handle::Stream(stream) => stream.done(),
                        Handle::Span(span) => span.done(),
                    }
                    self.model.done(at);
                }
            }
            Op::SetLimit(on, limit) => {
                if let Some(on) = self.resolve(&on) {
                    self.on(&on, |scope| match limit {
                        Some(limit) => scope.set_limit(limit),
                        None => scope.reset_limit(),
                    });
                    self.model.set_limit(&on, limit);
                }
            }
            Op::SetLimits(limits) => {
                self.manager.set_limits((*limits).clone());
                self.model.set_limits(*limits);
            }
            Op::Close => {
                self.manager.close();
                self.model.close();
            }
        }
        self.compare()
    }

    /// Keeps what both opened, at the same number.
    fn keep(&mut self, got: Result<Handle>, want: Result<()>) -> Result<(), TestCaseError> {
        let opened = got.map(|handle| self.handles.push(handle));
        prop_assert_eq!(opened, want);
        prop_assert_eq!(self.handles.len(), self.model.handles());
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let scopes = self.manager.scopes();
        let mut got: BTreeMap<ScopeId, (ScopeStat, ScopeStat)> = scopes
            .iter()
            .map(|scope| (scope.id.clone(), (scope.stat, scope.peak)))
            .collect();
        let want = self.model.scopes();
        if self.has_credit {
            for (id, (_, peak)) in &mut got {
                let Some((_, least)) = want.get(id) else {
                    continue;
                };
                for (peak, least) in [
                    (&mut peak.memory, least.memory),
                    (&mut peak.streams_inbound, least.streams_inbound),
                    (&mut peak.streams_outbound, least.streams_outbound),
                ] {
                    prop_assert!(*peak >= least, "the peak of {}", id);
                    *peak = least;
                }
            }
        }
        prop_assert_eq!(got, want);
        for scope in scopes {
            let limit = self.model.limit(&On::Named(scope.id.clone()));
            prop_assert_eq!(scope.limit, limit, "the limit of {}", scope.id);
        }
        let permits = self.manager.addresses().stat().permits;
        prop_assert_eq!(permits, self.model.permits());
        for at in 0..self.handles.len() {
            let on = On::Handle(at);
            let scope = self.handles[at].scope();
            prop_assert_eq!(scope.stat(), self.model.stat(&on));
            prop_assert_eq!(scope.name(), self.model.name(&on));
            if self.model.is_open(at) {
                prop_assert_eq!(scope.limit(), self.model.limit(&on));
            }
        }
        let conns = (0..self.handles.len())
            .filter(|&at| matches!(self.handles[at], Handle::Connection(_)))
            .map(|at| self.model.stat(&On::Handle(at)).memory);
        prop_assert_eq!(self.manager.conn_memory().counts, by_memory(conns));
        for class in ScopeClass::ALL {
            let got = (
                self.manager.refusals(class),
                self.manager.over_releases(class),
            );
            let want = (self.model.refusals(class), self.model.over_releases(class));
            prop_assert_eq!(got, want, "refusals and over-releases of class {}", class);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_engine_does_what_the_model_does(
        limits in limits(),
        credit in select(&[0, 1, 50, 1000, 1 << 18, u64::MAX][..]),
        after in select(&[0, 1, 2][..]),
        lanes in any::<bool>(),
        ops in vec(op(), 1..120),
    ) {
        let mut pair = Pair::new(limits, credit, after);
        for op in ops {
            // Each on a lane of its own, one after the other; but for what is numbered, of which each
            // lane has numbers of its own.
            if lanes && !matches!(op, Op::OpenConnection(..) | Op::OpenStream(..)) {
                let performed = thread::scope(|scope| scope.spawn(|| pair.perform(op)).join());
                performed.expect("nothing panics")?;
            } else {
                pair.perform(op)?;
            }
        }
        // Dropped in any order, everything is given back.
        let Pair { manager, handles, .. } = pair;
        drop(handles);
        prop_assert_eq!(manager.conn_memory(), ConnMemory::default());
        let mut direct = 0;
        for scope in manager.scopes() {
            let stat = ScopeStat { memory: 0, ..scope.stat };
            prop_assert_eq!(stat, ScopeStat::ZERO, "{}", scope.id);
            direct += u64::from(scope.stat.memory > 0);
        }
        // What is left was reserved on scopes directly.
        for scope in manager.scopes() {
            match &scope.id {
                ScopeId::Peer(peer) => manager.view_peer(peer).release(),
                ScopeId::Protocol(id) => manager.view_protocol(id).release(),
                ScopeId::Service(name) => manager.view_service(name).release(),
                ScopeId::Transient => manager.view_transient().release(),
                ScopeId::System => manager.view_system().release(),
                ScopeId::AllowlistedSystem | ScopeId::AllowlistedTransient => {
                    prop_assert!(scope.stat.is_zero(), "{} is left", scope.id);
                }
                other => prop_assert!(false, "{} is left", other),
            }
        }
        let stat = manager.stat();
        prop_assert!(stat.system.is_zero(), "{} of {} scopes", stat.system, direct);
        prop_assert!(stat.transient.is_zero() && stat.peers.is_empty() && stat.protocols.is_empty());
    }
}
