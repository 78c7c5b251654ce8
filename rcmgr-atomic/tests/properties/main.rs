//! The engine against the sequential model: random operations by several threads, one after the
//! other. Every result is the same to the letter. After each operation usage, peaks, limits, refusals
//! and over-releases are the same everywhere.

#[path = "../by_memory/mod.rs"]
mod by_memory;
mod pair;

use std::net::IpAddr;

use fastrand::Rng;
use pair::Pair;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rcmgr_atomic::address::{AddressConfig, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{AddressLimits, Direction, Endpoint, Limits, Priority, UsesFd};
use rcmgr_testkit::{Kind, On, Op, RandomOps, random_limits};

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
        pair.drop_kept();
    }
    pair.end()
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
