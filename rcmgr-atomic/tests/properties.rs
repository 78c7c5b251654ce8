//! The engine against the sequential model: random operations by several threads, one after the
//! other. Every result is the same to the letter. After each operation usage, peaks, limits, refusals
//! and over-releases are the same everywhere.

mod by_memory;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use by_memory::by_memory;
use fastrand::Rng;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rcmgr_atomic::address::{AddressConfig, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{
    AddressLimits, ConnMemory, Direction, Endpoint, KeptScopes, Limits, Manager, Priority,
    ScopeClass, ScopeId, ScopeStat, UsesFd,
};
use rcmgr_testkit::{Handle, Kind, Model, On, Op, RandomOps, Session, random_limits};

const PEERS: [&str; 2] = [
    "12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
    "tenant-7",
];
const ADDRESSES: [&str; 3] = ["10.1.2.3", "192.0.2.1", "198.51.100.1"];
/// The network of the first address for anyone, and the second address for the first peer.
const ALLOWLIST: [&str; 2] = [
    "/ip4/10.0.0.0/ipcidr/8",
    "/ip4/192.0.2.1/p2p/12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
];
/// The same, and the first peer from everywhere.
const WITH_PEER_ALONE: [&str; 3] = [
    ALLOWLIST[0],
    ALLOWLIST[1],
    "/p2p/12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
];
/// Few enough that operations meet on the same handles.
const SLOTS: usize = 12;
/// As many threads as the engine has shards.
const THREADS: usize = 8;

fn operations(allowlist: &[&str]) -> RandomOps {
    let ip = |ip: &str| Endpoint::from(ip.parse::<IpAddr>().expect("an address"));
    let mut endpoints: Vec<_> = ADDRESSES.map(ip).to_vec();
    endpoints.push(Endpoint::None);
    RandomOps {
        kinds: vec![
            (8, Kind::OpenConnection),
            (6, Kind::OpenStream),
            (4, Kind::OpenStreamWith),
            (6, Kind::OpenStreamThrough),
            (8, Kind::SetPeer),
            (8, Kind::SetProtocol),
            (8, Kind::SetService),
            (24, Kind::Reserve),
            (2, Kind::Hold),
            (8, Kind::Release),
            (2, Kind::ReleaseAll),
            (5, Kind::BeginSpan),
            (4, Kind::Done),
            (2, Kind::Drop),
            (4, Kind::SetLimit),
            (1, Kind::SetLimits),
            (1, Kind::Close),
        ],
        on_shared: 25,
        peers: PEERS.map(|peer| peer.parse().expect("a peer id")).to_vec(),
        protocols: vec!["/ipfs/kad/1.0.0".into(), "/ping".into()],
        services: vec!["dht".into(), "relay".into()],
        endpoints,
        addresses: AddressLimits::new(addresses(allowlist)).expect("the configuration works"),
        priorities: vec![
            Priority::Always,
            Priority::Always,
            Priority::Always,
            Priority::Low,
            Priority::Medium,
            Priority::High,
            Priority::Level(0),
            Priority::Level(254),
        ],
        size: |rng| match rng.u8(..9) {
            0..6 => rng.u64(..600),
            6 | 7 => rng.u64(..40_000),
            _ => [1 << 24, 1 << 32, 1 << 54, 1 << 55][rng.usize(..4)],
        },
    }
}

fn addresses(allowlist: &[&str]) -> AddressConfig {
    AddressConfig {
        allowlist: allowlist
            .iter()
            .map(|entry| entry.parse().expect("an entry of the allowlist"))
            .collect(),
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: 3,
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    }
}

/// A random operation. A failing sequence is made shorter, its operations stay as they are.
fn op(allowlist: &[&str]) -> impl Strategy<Value = Op> + use<> {
    let operations = operations(allowlist);
    let seed = any::<u64>().no_shrink();
    seed.prop_map(move |seed| operations.draw(&mut Rng::with_seed(seed)))
}

fn limits(allowlist: &[&str]) -> impl Strategy<Value = Limits> + use<> {
    let operations = operations(allowlist);
    let seed = any::<u64>().no_shrink();
    seed.prop_map(move |seed| random_limits(&mut Rng::with_seed(seed), &operations))
}

/// Connections of one peer. The first holds memory up to a little below or above the part of the
/// system's limit that a priority may use. Then come small reservations and releases at every
/// priority. There is credit for them.
fn ops_near_a_part_of_the_limit() -> impl Strategy<Value = (Limits, Vec<(usize, Op)>)> {
    let limit = select(&[4000, 40_000, 400_000][..]);
    let part = select(&[Priority::Low, Priority::Medium, Priority::High][..]);
    let seeds = vec((0..THREADS, any::<u64>().no_shrink()), 1..200);
    (
        limit,
        part,
        any::<bool>(),
        prop_oneof![0..8_u64, 0..4000_u64],
        seeds,
    )
        .prop_map(|(limit, part, above, far, seeds)| {
            let mut limits = Limits::unlimited();
            limits.system.memory = limit.into();
            let operations = RandomOps {
                kinds: vec![(5, Kind::Reserve), (1, Kind::Hold), (4, Kind::Release)],
                on_shared: 5,
                size: |rng| {
                    let below = 1 << rng.u32(..9);
                    rng.u64(..below)
                },
                ..operations(&[])
            };
            let mut ops = Vec::new();
            for slot in 0..SLOTS {
                ops.push(Op::OpenConnection {
                    slot,
                    direction: Direction::Inbound,
                    uses_fd: UsesFd::No,
                    endpoint: Endpoint::None,
                });
                ops.push(Op::SetPeer(slot, operations.peers[0]));
            }
            // So near that the credit, too, lies between the usage and that part.
            let part = limit / 256 * (u64::from(part.level()) + 1);
            let far = far.min(limit / 100);
            let held = if above { part + far } else { part - far };
            ops.push(Op::Reserve(On::Handle(0), held, Priority::Always));
            let mut ops: Vec<_> = ops.into_iter().map(|op| (0, op)).collect();
            let random = |(by, seed)| (by, operations.draw(&mut Rng::with_seed(seed)));
            ops.extend(seeds.into_iter().map(random));
            (limits, ops)
        })
}

/// Operations on streams with little memory: there is often credit for all that one of them holds.
fn op_of_streams_of_one_peer() -> impl Strategy<Value = Op> {
    let all = operations(&[]);
    let operations = RandomOps {
        kinds: vec![
            (8, Kind::OpenStream),
            (4, Kind::SetProtocol),
            (8, Kind::Reserve),
            (4, Kind::Release),
            (4, Kind::Drop),
            (1, Kind::SetLimit),
        ],
        on_shared: 5,
        peers: all.peers[..1].to_vec(),
        protocols: all.protocols[..1].to_vec(),
        size: |rng| rng.u64(..100),
        ..all
    };
    let seed = any::<u64>().no_shrink();
    seed.prop_map(move |seed| operations.draw(&mut Rng::with_seed(seed)))
}

/// Performs the operations. Now and then it keeps the scopes of a stream or moves a stream to kept ones,
/// as the numbers beside an operation say.
fn perform_with_kept_scopes(
    mut pair: Pair,
    ops: &[(Op, usize, usize)],
    drops_them_first: bool,
) -> Result<(), TestCaseError> {
    for (op, keeps, moves) in ops {
        pair.perform(op)?;
        if *keeps < SLOTS {
            pair.keep_or_drop(*keeps);
        }
        if *moves < SLOTS {
            pair.move_to_kept(*moves)?;
        }
    }
    if drops_them_first {
        pair.kept.take();
    }
    pair.end()
}

/// The engine and the model, which perform the same operations.
struct Pair {
    session: Session<Manager>,
    model: Model,
    /// Whether a peak may have credit in it.
    has_credit: bool,
    /// Scopes that are kept, if any ever are. The model does not know them.
    kept: Option<Vec<Kept>>,
}

/// Kept scopes of a stream, and their names.
struct Kept {
    scopes: KeptScopes,
    protocol: Option<Arc<str>>,
    service: Option<Arc<str>>,
}

impl Pair {
    fn new(limits: Limits, credit: u64, after: u64) -> Self {
        let manager = Manager::builder()
            .limits(limits.clone())
            .prepaid_credit(credit, credit)
            .credit_after(after);
        let manager = manager.build().expect("the configuration works");
        Self {
            session: Session::new(manager, SLOTS),
            model: Model::new(limits.clone(), &limits.addresses, SLOTS),
            has_credit: credit > 0,
            kept: None,
        }
    }

    /// Keeps the scopes of the stream in this slot. If there is none, drops the oldest that are kept.
    fn keep_or_drop(&mut self, slot: usize) {
        let kept = self.kept.get_or_insert_default();
        match self.session.handle(slot).as_deref() {
            Some(Handle::Stream(stream)) => kept.extend(stream.keep_scopes().map(|scopes| Kept {
                scopes,
                protocol: stream.protocol(),
                service: stream.service(),
            })),
            _ if kept.is_empty() => {}
            _ => drop(kept.remove(0)),
        }
    }

    /// Moves the stream in this slot, if there is one, to the scopes that were kept last. To the model
    /// they are names.
    fn move_to_kept(&mut self, slot: usize) -> Result<(), TestCaseError> {
        let handle = self.session.handle(slot);
        let (Some(kept), Some(Handle::Stream(stream))) = (
            self.kept.as_ref().and_then(|kept| kept.last()),
            handle.as_deref(),
        ) else {
            return Ok(());
        };
        let Some(protocol) = &kept.protocol else {
            return Ok(());
        };
        let got = stream.set_kept_scopes(&kept.scopes);
        let want = match &kept.service {
            Some(service) => self.model.set_protocol_and_service(slot, protocol, service),
            None => self.model.perform(&Op::SetProtocol(slot, protocol.clone())),
        };
        prop_assert_eq!(got, want);
        drop(handle);
        self.compare()
    }

    /// Performs an operation on both, and compares all that can be seen.
    fn perform(&mut self, op: &Op) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.session.perform(op), self.model.perform(op));
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        self.compare_shared_scopes()?;
        self.compare_handles()?;
        let manager = &self.session.manager;
        for class in ScopeClass::ALL {
            let got = (manager.refusals(class), manager.over_releases(class));
            let want = (self.model.refusals(class), self.model.over_releases(class));
            prop_assert_eq!(got, want, "refusals and over-releases of class {}", class);
        }
        let got = manager.dry_run_refusals();
        let want = ScopeClass::ALL.map(|class| self.model.dry_run_refusals(class));
        prop_assert_eq!(got, want, "refusals that the dry run let pass");
        let got = manager.dry_run_addresses();
        let got = got.map(|stat| (stat.refused_by_subnet, stat.permits));
        prop_assert_eq!(got, self.model.dry_run_addresses());
        let permits = manager.addresses().stat().permits;
        prop_assert_eq!(permits, self.model.permits());
        Ok(())
    }

    fn compare_shared_scopes(&self) -> Result<(), TestCaseError> {
        let scopes = self.session.manager.scopes();
        let mut got: BTreeMap<ScopeId, (ScopeStat, ScopeStat)> = scopes
            .iter()
            .map(|scope| (scope.id.clone(), (scope.stat, scope.peak)))
            .collect();
        let want = self.model.scopes();
        if let Some(kept) = &self.kept {
            // Kept scopes are listed with zero usage. They keep their peaks, too.
            for (id, (stat, peak)) in &mut got {
                match want.get(id) {
                    Some((_, since)) => {
                        prop_assert!(is_at_least(peak, since), "the peak of {}", id);
                        *peak = *since;
                    }
                    None => prop_assert!(!kept.is_empty() && stat.is_zero(), "{} has {}", id, stat),
                }
            }
            got.retain(|id, _| want.contains_key(id));
        }
        if self.has_credit {
            // Credit is charged before it is used: such a peak is an upper bound.
            for (id, (_, peak)) in &mut got {
                let Some((_, least)) = want.get(id) else {
                    continue;
                };
                for (peak, least) in [
                    (&mut peak.memory, least.memory),
                    (&mut peak.streams_inbound, least.streams_inbound),
                    (&mut peak.streams_outbound, least.streams_outbound),
                    (&mut peak.conns_inbound, least.conns_inbound),
                    (&mut peak.conns_outbound, least.conns_outbound),
                    (&mut peak.fd, least.fd),
                ] {
                    prop_assert!(*peak >= least, "the peak of {}", id);
                    *peak = least;
                }
            }
        }
        prop_assert_eq!(&got, &want);
        for scope in scopes.iter().filter(|scope| want.contains_key(&scope.id)) {
            let limit = self.model.limit(&scope.id);
            prop_assert_eq!(scope.limit, limit, "the limit of {}", scope.id);
        }
        Ok(())
    }

    fn compare_handles(&self) -> Result<(), TestCaseError> {
        let mut conn_memory = Vec::new();
        for slot in 0..SLOTS {
            let (handle, known) = (self.session.handle(slot), self.model.handle(slot));
            prop_assert_eq!(
                handle.is_some(),
                known.is_some(),
                "a handle in slot {}",
                slot
            );
            let (Some(handle), Some(known)) = (handle, known) else {
                continue;
            };
            let scope = handle.scope();
            prop_assert_eq!(scope.stat(), known.stat);
            // The name gives the handle its number, in the order in which the model counts.
            prop_assert_eq!(scope.name(), known.name);
            if let Some(limit) = known.limit {
                prop_assert_eq!(scope.limit(), limit);
            }
            if matches!(*handle, Handle::Connection(_)) {
                conn_memory.push(known.stat.memory);
            }
        }
        let counts = self.session.manager.conn_memory().counts;
        prop_assert_eq!(counts, by_memory(conn_memory));
        Ok(())
    }

    /// Performs each operation on one of several threads, strictly one after the other: each of them
    /// uses a shard of its own.
    fn perform_in_turns(self, ops: &[(usize, Op)]) -> Result<Self, TestCaseError> {
        let pair = Mutex::new(self);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (turn, turns) = mpsc::channel();
                    let (result, results) = mpsc::channel();
                    let pair = &pair;
                    scope.spawn(move || {
                        for op in turns {
                            let mut pair = pair.lock().expect("no other thread panicked");
                            let performed = pair.perform(op);
                            result.send(performed).expect("the result is waited for");
                        }
                    });
                    (turn, results)
                })
                .collect();
            for (thread, op) in ops {
                let (turn, results) = &threads[*thread];
                turn.send(op).expect("the thread waits for its turn");
                results.recv().expect("the thread does not panic")?;
            }
            Ok(())
        })
        .map(|()| pair.into_inner().expect("no thread panicked"))
    }

    /// When all handles are dropped, everything is given back but what was reserved on shared scopes
    /// directly. When that is released, nothing is left.
    fn end(self) -> Result<(), TestCaseError> {
        let manager = self.session.manager.clone();
        // First the handles, then the kept scopes if there still are any.
        drop(self);
        prop_assert_eq!(manager.conn_memory(), ConnMemory::default());
        for scope in manager.scopes() {
            let counts = ScopeStat {
                memory: 0,
                ..scope.stat
            };
            prop_assert_eq!(counts, ScopeStat::ZERO, "{}", scope.id);
        }
        let session = Session::new(manager, 1);
        for scope in session.manager.scopes() {
            match session.view(&scope.id) {
                Some(view) => view.release(),
                None => prop_assert!(scope.stat.is_zero(), "{} is left", scope.id),
            }
        }
        let stat = session.manager.stat();
        prop_assert!(stat.system.is_zero(), "{} is left", stat.system);
        prop_assert!(
            stat.transient.is_zero() && stat.peers.is_empty() && stat.protocols.is_empty()
        );
        Ok(())
    }
}

fn is_at_least(peak: &ScopeStat, other: &ScopeStat) -> bool {
    peak.memory >= other.memory
        && peak.streams_inbound >= other.streams_inbound
        && peak.streams_outbound >= other.streams_outbound
        && peak.conns_inbound >= other.conns_inbound
        && peak.conns_outbound >= other.conns_outbound
        && peak.fd >= other.fd
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_engine_does_what_the_model_does(
        limits in limits(&ALLOWLIST),
        credit in select(&[0, 1, 50, 1000, 1 << 18, u64::MAX][..]),
        after in select(&[0, 1, 2][..]),
        threads in 1..=THREADS,
        ops in vec((0..THREADS, op(&ALLOWLIST)), 1..200),
    ) {
        let ops: Vec<_> = ops.into_iter().map(|(by, op)| (by % threads, op)).collect();
        let pair = Pair::new(limits, credit, after);
        pair.perform_in_turns(&ops)?.end()?;
    }

    #[test]
    fn kept_scopes_change_nothing_but_which_scopes_are_listed(
        limits in limits(&ALLOWLIST),
        credit in select(&[0, 1, 50, 1 << 18][..]),
        ops in vec((op(&ALLOWLIST), 0..4 * SLOTS, 0..2 * SLOTS), 1..200),
        drops_them_first in any::<bool>(),
    ) {
        perform_with_kept_scopes(Pair::new(limits, credit, 1), &ops, drops_them_first)?;
    }

    #[test]
    fn streams_with_memory_move_to_kept_scopes_as_to_the_same_scopes_by_name(
        credit in select(&[1000, 1 << 18][..]),
        ops in vec((op_of_streams_of_one_peer(), 0..8 * SLOTS, 0..2 * SLOTS), 1..200),
        drops_them_first in any::<bool>(),
    ) {
        let pair = Pair::new(Limits::unlimited(), credit, 1);
        perform_with_kept_scopes(pair, &ops, drops_them_first)?;
    }

    #[test]
    fn the_engine_does_what_the_model_does_with_a_peer_alone_on_the_allowlist(
        limits in limits(&WITH_PEER_ALONE),
        credit in select(&[0, 1, 50, 1000, 1 << 18, u64::MAX][..]),
        after in select(&[0, 1, 2][..]),
        threads in 1..=THREADS,
        ops in vec((0..THREADS, op(&WITH_PEER_ALONE)), 1..200),
    ) {
        let ops: Vec<_> = ops.into_iter().map(|(by, op)| (by % threads, op)).collect();
        let pair = Pair::new(limits, credit, after);
        pair.perform_in_turns(&ops)?.end()?;
    }

    #[test]
    fn low_priorities_get_what_the_model_gives_them_near_their_part_of_a_limit_with_credit(
        (limits, ops) in ops_near_a_part_of_the_limit(),
        credit in select(&[2, 50, 1000, u64::MAX][..]),
        after in select(&[0, 1, 2][..]),
        threads in 1..=THREADS,
    ) {
        let ops: Vec<_> = ops.into_iter().map(|(by, op)| (by % threads, op)).collect();
        let pair = Pair::new(limits, credit, after);
        pair.perform_in_turns(&ops)?.end()?;
    }
}
