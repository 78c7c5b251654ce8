//! The engine against the sequential model, with requests that wait: random operations, and random
//! polls and drops of futures. Each result is the same to the letter. After each step usage, refusals,
//! queues and totals are the same, and each request that could get further has been woken.

mod world;

use std::net::IpAddr;

use fastrand::Rng;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rcmgr_atomic::address::{AddressConfig, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{
    AddressLimits, Direction, Endpoint, LimitValue, Limits, PeerId, Priority, UsesFd,
};
use rcmgr_testkit::{Kind, Op, RandomOps, Remote, Wish, random_limits};
use world::{SLOTS, World};

const PEERS: [&str; 2] = [
    "12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
    "tenant-7",
];
const ADDRESSES: [&str; 3] = ["10.1.2.3", "192.0.2.1", "198.51.100.1"];
const ALLOWLIST: [&str; 2] = [
    "/ip4/10.0.0.0/ipcidr/8",
    "/ip4/192.0.2.1/p2p/12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
];
/// The first peer is let in from everywhere, so a remote may be unproven.
const WITH_PEER_ALONE: [&str; 2] = [
    ALLOWLIST[0],
    "/p2p/12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
];

/// One step of a test.
#[derive(Debug, Clone)]
pub enum Step {
    /// Performs an operation.
    Do(Op),
    /// Makes a future, and polls it.
    Wait(Wish),
    /// Polls one of the futures, woken or not.
    Poll(usize),
    /// Polls one of the futures that were woken.
    PollWoken(usize),
    /// Drops one of the futures.
    Drop(usize),
}

fn peers() -> Vec<PeerId> {
    PEERS.map(|peer| peer.parse().expect("a peer id")).to_vec()
}

fn endpoints() -> Vec<Endpoint> {
    let ip = |ip: &str| Endpoint::from(ip.parse::<IpAddr>().expect("an address"));
    let mut endpoints: Vec<_> = ADDRESSES.map(ip).to_vec();
    endpoints.push(Endpoint::None);
    endpoints
}

fn operations(allowlist: &[&str]) -> RandomOps {
    RandomOps {
        kinds: vec![
            (8, Kind::OpenConnection),
            (6, Kind::OpenStream),
            (3, Kind::OpenStreamWith),
            (4, Kind::OpenStreamThrough),
            (8, Kind::SetPeer),
            (8, Kind::SetProtocol),
            (6, Kind::SetService),
            (16, Kind::Reserve),
            (2, Kind::Hold),
            (14, Kind::Release),
            (6, Kind::ReleaseAll),
            (5, Kind::BeginSpan),
            (8, Kind::Done),
            (6, Kind::Drop),
            (3, Kind::SetLimit),
            (1, Kind::SetLimits),
        ],
        on_shared: 25,
        peers: peers(),
        protocols: vec!["/ipfs/kad/1.0.0".into(), "/ping".into()],
        services: vec!["dht".into(), "relay".into()],
        endpoints: endpoints(),
        addresses: addresses(allowlist),
        priorities: vec![
            Priority::Always,
            Priority::Always,
            Priority::Always,
            Priority::Low,
            Priority::Medium,
            Priority::High,
        ],
        size,
    }
}

fn size(rng: &mut Rng) -> u64 {
    match rng.u8(..9) {
        0..7 => rng.u64(..1_200),
        7 => rng.u64(..40_000),
        _ => [0, 1 << 24, 1 << 55][rng.usize(..3)],
    }
}

fn addresses(allowlist: &[&str]) -> AddressLimits {
    let config = AddressConfig {
        allowlist: allowlist
            .iter()
            .map(|entry| entry.parse().expect("an entry of the allowlist"))
            .collect(),
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: 5,
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    };
    AddressLimits::new(config).expect("the configuration works")
}

/// Random limits. Most are such that requests wait for them.
fn draw_limits(rng: &mut Rng, operations: &RandomOps) -> Limits {
    let mut limits = random_limits(rng, operations);
    limits.waiters = match rng.u8(..4) {
        0 => LimitValue::Limited(rng.u64(..4)),
        _ => LimitValue::Unlimited,
    };
    limits
}

fn wish(rng: &mut Rng) -> Wish {
    let direction = Direction::ALL[rng.usize(..2)];
    let peers = peers();
    match rng.u8(..10) {
        0..6 => {
            let operations = operations(&ALLOWLIST);
            let draw = |rng: &mut Rng| match operations.draw(rng) {
                Op::Reserve(on, size, priority) => Some((on, size, priority)),
                _ => None,
            };
            let (on, size, priority) = loop {
                if let Some(drawn) = draw(rng) {
                    break drawn;
                }
            };
            Wish::Memory(on, size, priority)
        }
        6 | 7 => Wish::Connection {
            slot: rng.usize(..SLOTS),
            direction,
            uses_fd: UsesFd::from(rng.bool()),
            endpoint: endpoints()[rng.usize(..4)],
        },
        8 => Wish::Stream {
            slot: rng.usize(..SLOTS),
            remote: Remote::Peer(peers[rng.usize(..peers.len())]),
            direction,
        },
        _ => Wish::Stream {
            slot: rng.usize(..SLOTS),
            remote: Remote::Connection(rng.usize(..SLOTS)),
            direction,
        },
    }
}

/// A random step. A failing sequence is made shorter, its steps stay as they are.
fn step(allowlist: &'static [&'static str]) -> impl Strategy<Value = Step> {
    let operations = operations(allowlist);
    any::<u64>().no_shrink().prop_map(move |seed| {
        let mut rng = Rng::with_seed(seed);
        match rng.u16(..400) {
            0..160 => Step::Do(match operations.draw(&mut rng) {
                Op::SetLimits(_) => Op::SetLimits(Box::new(draw_limits(&mut rng, &operations))),
                op => op,
            }),
            160..260 => Step::Wait(wish(&mut rng)),
            260..280 => Step::Poll(rng.usize(..)),
            280..379 => Step::PollWoken(rng.usize(..)),
            379..399 => Step::Drop(rng.usize(..)),
            _ => Step::Do(Op::Close),
        }
    })
}

fn limits(allowlist: &'static [&'static str]) -> impl Strategy<Value = Limits> {
    let operations = operations(allowlist);
    let seed = any::<u64>().no_shrink();
    seed.prop_map(move |seed| draw_limits(&mut Rng::with_seed(seed), &operations))
}

/// Limits that are tight in a few scopes alone: many requests wait for the same.
fn tight_limits(allowlist: &'static [&'static str]) -> impl Strategy<Value = Limits> {
    let addresses = addresses(allowlist);
    let of_two = any::<[u8; 8]>();
    of_two.prop_map(move |tight| {
        let mut limits = Limits::unlimited();
        limits.addresses = addresses.clone();
        let [
            system,
            transient,
            peer,
            protocol,
            service,
            conns,
            streams,
            allowlisted,
        ] = tight;
        let memory = |draw: u8| match draw % 3 {
            0 => LimitValue::Unlimited,
            _ => LimitValue::Limited(1_500 + u64::from(draw) * 8),
        };
        limits.system.memory = memory(system);
        limits.transient.memory = memory(transient);
        limits.peer_default.memory = memory(peer);
        limits.protocol_default.memory = memory(protocol);
        limits.service_peer_default.memory = memory(service);
        limits.system.conns = LimitValue::Limited(u64::from(conns % 5) + 1);
        limits.system.fd = LimitValue::Limited(u64::from(conns / 5 % 4) + 1);
        limits.transient.conns_inbound = LimitValue::Limited(u64::from(conns % 3) + 1);
        limits.system.streams = LimitValue::Limited(u64::from(streams % 6) + 1);
        limits.peer_default.streams_inbound = LimitValue::Limited(u64::from(streams % 3) + 1);
        limits.allowlisted_system.conns = LimitValue::Limited(u64::from(allowlisted % 4) + 1);
        limits.allowlisted_transient.conns = LimitValue::Limited(u64::from(allowlisted % 3) + 1);
        limits
    })
}

fn run(limits: Limits, credit: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(limits, credit);
    for step in steps {
        world.perform(step)?;
        world.compare()?;
    }
    world.end()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn requests_wait_as_in_the_model(
        limits in limits(&ALLOWLIST),
        credit in select(&[0, 1000, 1 << 18][..]),
        steps in vec(step(&ALLOWLIST), 1..200),
    ) {
        run(limits, credit, &steps)?;
    }

    #[test]
    fn many_requests_wait_for_the_same_scopes_as_in_the_model(
        limits in tight_limits(&ALLOWLIST),
        credit in select(&[0, 1000, 1 << 18][..]),
        steps in vec(step(&ALLOWLIST), 1..200),
    ) {
        run(limits, credit, &steps)?;
    }

    #[test]
    fn requests_wait_as_in_the_model_with_a_peer_alone_on_the_allowlist(
        limits in prop_oneof![tight_limits(&WITH_PEER_ALONE), limits(&WITH_PEER_ALONE)],
        credit in select(&[0, 1000][..]),
        steps in vec(step(&WITH_PEER_ALONE), 1..200),
    ) {
        run(limits, credit, &steps)?;
    }
}
