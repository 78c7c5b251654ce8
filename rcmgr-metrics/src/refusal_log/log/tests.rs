//! Tests of the lines of the refusal log.

mod dry_run;
mod waiting;

use std::sync::Mutex;

use rcmgr_atomic::address::{
    AddressConfig, NetworkLimit, NetworkRate, Rate, RateLimits, SubnetLimits,
};
use rcmgr_atomic::{
    Connection, Direction, Endpoint, KIB, Limit, Limits, PeerId, Priority, Stream, UsesFd,
};

use super::*;

const IN: Direction = Direction::Inbound;
const OUT: Direction = Direction::Outbound;

/// A clock that the test sets.
#[derive(Debug, Default)]
struct Hands(Mutex<Duration>);

impl Clock for Hands {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

struct Case {
    manager: Manager,
    clock: Arc<Hands>,
    log: RefusalLog,
}

impl Case {
    fn new(change: impl Fn(&mut Limits)) -> Self {
        let mut limits = Limits::unlimited();
        change(&mut limits);
        Self::of(Manager::new(limits).unwrap())
    }

    fn of(manager: Manager) -> Self {
        let clock = Arc::new(Hands::default());
        let log = RefusalLog::new(manager.clone()).clock(clock.clone());
        Self {
            manager,
            clock,
            log,
        }
    }

    fn pass(&self, seconds: f64) {
        *self.clock.0.lock().unwrap() += Duration::from_secs_f64(seconds);
    }

    /// The lines of a look one second later.
    fn said(&mut self) -> Vec<String> {
        self.pass(1.0);
        self.look()
    }

    fn look(&mut self) -> Vec<String> {
        let lines = self.log.lines(self.log.interval);
        lines.iter().map(ToString::to_string).collect()
    }

    fn connect(&self, direction: Direction) -> rcmgr_core::Result<Connection> {
        self.manager
            .open_connection(direction, UsesFd::Yes, Endpoint::None)
    }

    fn refuse_connections(&self, direction: Direction, count: usize) {
        for _ in 0..count {
            self.connect(direction).unwrap_err();
        }
    }

    fn stream(&self, of: &str) -> rcmgr_core::Result<Stream> {
        self.manager.open_stream(&peer(of), IN)
    }

    fn refuse_streams(&self, of: &str, count: usize) {
        for _ in 0..count {
            self.stream(of).unwrap_err();
        }
    }
}

fn peer(name: &str) -> PeerId {
    name.parse().unwrap()
}

#[test]
fn without_refusals_nothing_is_logged() {
    let mut case = Case::new(|_| ());
    let _held = case.connect(IN).unwrap();
    assert_eq!(case.said(), [""; 0]);
}

#[test]
fn earlier_refusals_are_not_logged() {
    let case = Case::new(|limits| {
        limits.system.conns_inbound = 0.into();
        limits.peer_default.streams = 0.into();
    });
    let view = case.manager.view_peer(&peer("a"));
    case.refuse_connections(IN, 3);
    case.refuse_streams("a", 3);
    let mut case = Case::of(case.manager);
    assert_eq!(case.said(), [""; 0]);
    case.refuse_streams("a", 2);
    let line = "peer:a refused 2 inbound streams in the last 1 s: 0 of 0 in use now, both directions \
                together; the limit is PeerDefault.Streams";
    assert_eq!(case.said(), [line]);
    drop(view);
}

#[test]
fn the_first_refusal_is_logged_at_once_then_once_per_interval() {
    let mut case = Case::new(|limits| limits.system.conns_inbound = 1.into());
    let _held = case.connect(IN).unwrap();
    case.pass(1000.0);
    assert_eq!(case.look(), [""; 0]);
    case.refuse_connections(IN, 1);
    case.pass(0.5);
    let line = |count, asked, seconds| {
        format!(
            "system refused {count} inbound {asked} in the last {seconds} s: 1 of 1 in use now; \
             the limit is System.ConnsInbound"
        )
    };
    assert_eq!(case.look(), [line("1", "connection", "1")]);
    for _ in 0..59 {
        case.refuse_connections(IN, 20);
        assert_eq!(case.said(), [""; 0]);
    }
    case.refuse_connections(IN, 24);
    assert_eq!(case.said(), [line("1,204", "connections", "60")]);
    // No refusals for less than an interval, then for longer.
    case.pass(58.0);
    assert_eq!(case.look(), [""; 0]);
    case.refuse_connections(IN, 2);
    assert_eq!(case.said(), [""; 0]);
    assert_eq!(case.said(), [line("2", "connections", "2")]);
    case.pass(300.0);
    assert_eq!(case.look(), [""; 0]);
    case.refuse_connections(IN, 3);
    assert_eq!(case.said(), [line("3", "connections", "1")]);
}

#[test]
fn each_resource_and_direction_has_its_own_line_and_interval() {
    let mut case = Case::new(|limits| {
        limits.system.conns_inbound = 0.into();
        limits.transient.conns_outbound = 0.into();
    });
    case.refuse_connections(IN, 1);
    assert_eq!(case.said().len(), 1);
    case.refuse_connections(IN, 1);
    case.refuse_connections(OUT, 1);
    let of_transient = "transient refused 1 outbound connection in the last 1 s: 0 of 0 in use now; \
                        the limit is Transient.ConnsOutbound";
    assert_eq!(case.said(), [of_transient]);
    case.pass(58.0);
    case.refuse_connections(OUT, 1);
    assert_eq!(case.said().len(), 1);
    assert_eq!(case.said().len(), 1);
}

#[test]
fn the_rest_is_logged_without_waiting() {
    let mut case = Case::new(|limits| limits.system.conns_inbound = 0.into());
    case.refuse_connections(IN, 1);
    assert_eq!(case.said().len(), 1);
    case.refuse_connections(IN, 5);
    let rest = case.log.lines(Duration::ZERO);
    assert_eq!(rest.len(), 1);
    let rest = rest[0].to_string();
    assert!(
        rest.starts_with("system refused 5 inbound connections in the last 1 s"),
        "{rest}"
    );
    assert!(case.log.lines(Duration::ZERO).is_empty());
}

#[test]
fn file_descriptors_and_memory_have_their_own_words() {
    let mut case = Case::new(|limits| {
        limits.system.fd = 1.into();
        limits.transient.memory = (64 * KIB).into();
        limits.conn.memory = (32 * KIB).into();
    });
    let held = case.connect(IN).unwrap();
    case.refuse_connections(OUT, 2);
    held.reserve_memory(30 * KIB, Priority::Always).unwrap();
    held.reserve_memory(4 * KIB, Priority::Always).unwrap_err();
    held.reserve_memory(1, Priority::Low).unwrap_err();
    let span = held.begin_span().unwrap();
    span.set_limit(Limit::BLOCK_ALL);
    span.reserve_memory(1, Priority::Always).unwrap_err();
    let transient = case.manager.view_transient();
    transient.reserve_memory(KIB, Priority::Low).unwrap_err();
    assert_eq!(
        case.said(),
        [
            "system refused 2 connections with a file descriptor in the last 1 s: 1 of 1 in use now; \
             the limit is System.FD",
            "transient refused 1 memory reservation in the last 1 s: 30.0 KiB of 64.0 KiB in use \
             now; the limit is Transient.Memory; low priority may use 40 % of it, medium 60 %, high \
             80 %",
            "the limit of each connection refused 2 memory reservations in the last 1 s: it is \
             32.0 KiB (Conn.Memory); low priority may use 40 % of it, medium 60 %, high 80 %",
            "spans refused 1 memory reservation in the last 1 s: the limit is an override \
             of the span, or that of its owner",
        ]
    );
    span.done();
}

#[test]
fn a_stream_limit_of_zero_refuses_every_stream() {
    let mut case = Case::new(|limits| limits.stream.streams = 0.into());
    case.refuse_streams("a", 2);
    let line = "the limit of each stream refused 2 inbound streams in the last 1 s: it is 0 \
                (Stream.Streams)";
    assert_eq!(case.said(), [line]);
}

#[test]
fn of_several_scopes_the_one_with_the_most_refusals_is_named() {
    let mut case = Case::new(|limits| {
        limits.peer_default.streams_inbound = 1.into();
        limits.peer.insert(peer("bob"), Limit::all(2.into()));
    });
    let held: Vec<_> = ["alice", "bob", "bob", "eve"]
        .map(|of| case.stream(of).unwrap())
        .into();
    case.refuse_streams("alice", 4);
    case.refuse_streams("bob", 1000);
    case.refuse_streams("eve", 200);
    let line = "3 peers refused 1,204 inbound streams in the last 1 s, 1,000 of them by peer:bob: 2 of 2 \
                in use there now; the limit is Peer.bob.StreamsInbound";
    assert_eq!(case.said(), [line]);

    // Logged refusals do not count again.
    case.pass(60.0);
    case.refuse_streams("eve", 2);
    case.refuse_streams("alice", 1);
    let line = "2 peers refused 3 inbound streams in the last 61 s, 2 of them by peer:eve: 1 of 1 in \
                use there now; the limit is PeerDefault.StreamsInbound";
    assert_eq!(case.said(), [line]);
    drop(held);
}

#[test]
fn scopes_that_no_longer_exist_keep_their_name_and_limit() {
    let mut case = Case::new(|limits| {
        limits.peer_default.streams_inbound = 1.into();
    });
    let refuse = |of, count| {
        let held = case.stream(of).unwrap();
        case.refuse_streams(of, count);
        held
    };
    drop(refuse("gone", 5));
    let held = refuse("here", 2);
    let line = "2 peers refused 7 inbound streams in the last 1 s, 5 of them by peer:gone: 0 of 1 in \
                use there now, it no longer exists; the limit is PeerDefault.StreamsInbound";
    assert_eq!(case.said(), [line]);
    drop(held);
    let held = case.stream("here").unwrap();
    case.refuse_streams("here", 1);
    drop(held);
    let line = "peer:here refused 1 inbound stream in the last 60 s: 0 of 1 in use now, it no longer \
                exists; the limit is PeerDefault.StreamsInbound";
    case.pass(59.0);
    assert_eq!(case.look(), [""; 0]);
    assert_eq!(case.said(), [line]);
    assert!(case.log.of_modes[0].known.is_empty());
    // Nothing is logged twice.
    case.pass(60.0);
    assert_eq!(case.said(), [""; 0]);
}

#[test]
fn a_named_scope_that_is_blocked_altogether_has_its_name_and_limit() {
    let mut case = Case::new(|limits| {
        limits.protocol.insert("/x".into(), Limit::BLOCK_ALL);
        limits.peer.insert(peer("192.0.2.7"), Limit::BLOCK_ALL);
        limits.service_peer.insert("relay".into(), Limit::BLOCK_ALL);
    });
    for _ in 0..3 {
        let stream = case.stream("a").unwrap();
        stream.set_protocol("/x").unwrap_err();
    }
    case.refuse_streams("192.0.2.7", 2);
    let stream = case.stream("a").unwrap();
    stream.set_protocol("/y").unwrap();
    stream.set_service("relay").unwrap_err();
    drop(stream);
    let line = |scope: &str, count, entry: &str| {
        format!(
            "{scope} refused {count} in the last 1 s: 0 of 0 in use now, it no longer exists; the \
             limit is {entry}.StreamsInbound"
        )
    };
    assert_eq!(
        case.said(),
        [
            line(
                "service:relay.peer:a",
                "1 inbound stream",
                "ServicePeer.relay"
            ),
            line("protocol:/x", "3 inbound streams", "Protocol./x"),
            line("peer:192.0.2.7", "2 inbound streams", "Peer.192.0.2.7"),
        ]
    );
    // Earlier refusals by scopes that no longer exist are not logged by a new log.
    let mut case = Case::of(case.manager);
    assert_eq!(case.said(), [""; 0]);
    case.refuse_streams("192.0.2.7", 1);
    assert_eq!(
        case.said(),
        [line("peer:192.0.2.7", "1 inbound stream", "Peer.192.0.2.7")]
    );
}

#[test]
fn a_flood_of_one_time_names_hides_no_name_that_refuses_often() {
    let mut case = Case::new(|limits| limits.peer_default.streams_inbound = 0.into());
    for number in 0..1000 {
        case.refuse_streams("attacker", 2);
        case.refuse_streams(&format!("once-{number}"), 1);
    }
    let said = case.said().remove(0);
    let start = "16 peers and others that no longer exist refused 3,000 inbound streams in the last 1 \
                 s, 2,000 of them by peer:attacker: 0 of 0 in use there now, it no longer exists";
    assert!(said.starts_with(start), "{said}");
}

#[test]
fn services_and_protocols_and_shares_of_them_have_their_keys() {
    let mut case = Case::new(|limits| {
        limits.protocol.insert("/x".into(), Limit::all(1.into()));
        limits.protocol_peer_default.streams_outbound = 1.into();
        limits.service.insert("dht".into(), Limit::all(1.into()));
        limits.service_peer.insert("relay".into(), Limit::BLOCK_ALL);
    });
    let streams: Vec<_> = (0..7)
        .map(|_| case.manager.open_stream(&peer("a"), OUT).unwrap())
        .collect();
    streams[0].set_protocol("/x").unwrap();
    streams[1].set_protocol("/x").unwrap_err();
    streams[1].set_protocol("/y").unwrap();
    streams[2].set_protocol("/y").unwrap_err();
    streams[2].set_protocol("/z").unwrap();
    streams[0].set_service("dht").unwrap();
    streams[1].set_service("dht").unwrap_err();
    streams[2].set_service("relay").unwrap_err();
    let expected = [
        "service:dht refused 1 outbound stream in the last 1 s: 1 of 1 in use now; the limit is \
         Service.dht.StreamsOutbound",
        "protocol:/x refused 1 outbound stream in the last 1 s: 1 of 1 in use now; the limit is \
         Protocol./x.StreamsOutbound",
        "protocol:/y.peer:a refused 1 outbound stream in the last 1 s: 1 of 1 in use now; the limit \
         is ProtocolPeerDefault.StreamsOutbound",
        // The share of the service is destroyed after its refusal.
        "service:relay.peer:a refused 1 outbound stream in the last 1 s: 0 of 0 in use now, it no \
         longer exists; the limit is ServicePeer.relay.StreamsOutbound",
    ];
    let said = case.said();
    for line in expected {
        assert!(said.iter().any(|said| said == line), "{line} in {said:#?}");
    }
    assert_eq!(said.len(), 4);
}

#[test]
fn the_named_limit_is_the_full_one() {
    let mut case = Case::new(|limits| {
        limits.system.conns = 3.into();
        limits.system.conns_inbound = 3.into();
    });
    let mut held: Vec<_> = [IN, OUT, OUT]
        .map(|direction| case.connect(direction).unwrap())
        .into();
    case.refuse_connections(IN, 1);
    let line = |now: &str| {
        format!(
            "system refused 1 inbound connection in the last 1 s: {now} in use now, both directions \
             together; the limit is System.Conns"
        )
    };
    assert_eq!(case.said(), [line("3 of 3")]);
    // At the time of the look the limit may no longer be full: then the fullest one is named.
    case.pass(100.0);
    assert_eq!(case.look(), [""; 0]);
    case.refuse_connections(IN, 1);
    held.pop();
    assert_eq!(case.said(), [line("2 of 3")]);
}

#[test]
fn an_override_is_not_reported_as_the_configurations() {
    let mut case = Case::new(|limits| limits.peer_default.streams_inbound = 5.into());
    let view = case.manager.view_peer(&peer("a"));
    view.set_limit(Limit {
        streams_inbound: 0.into(),
        ..view.limit()
    });
    case.refuse_streams("a", 1);
    let line = "peer:a refused 1 inbound stream in the last 1 s: 0 of 0 in use now; the limit is an \
                override of this scope";
    assert_eq!(case.said(), [line]);
    case.pass(60.0);
    case.look();
    case.refuse_streams("a", 1);
    view.set_limit(Limit::UNLIMITED);
    let line = "peer:a refused 1 inbound stream in the last 1 s; this limit no longer exists";
    assert_eq!(case.said(), [line]);
}

#[test]
fn names_are_escaped_and_cut() {
    let mut case = Case::new(|limits| limits.protocol_default.streams = 0.into());
    let hostile = format!("/a\n{}", "x".repeat(10_000));
    let view = case.manager.view_protocol(&hostile);
    let stream = case.stream("e\u{202e}ve").unwrap();
    stream.set_protocol(&hostile).unwrap_err();
    let said = case.said().remove(0);
    let start = format!("protocol:/a\\n{}… refused 1 inbound stream", "x".repeat(96));
    assert!(said.starts_with(&start), "{said}");
    assert!(said.len() < 300);
    drop(view);

    let mut case = Case::new(|limits| limits.peer_default.streams = 1.into());
    let _held = case.stream("e\u{202e}ve").unwrap();
    case.refuse_streams("e\u{202e}ve", 1);
    let said = case.said().remove(0);
    assert!(said.starts_with("peer:0x65e280ae7665 refused 1 "), "{said}");
}

#[test]
fn refusals_by_address_are_logged() {
    let network = "192.0.2.0/24".parse().unwrap();
    let manager = Manager::builder().addresses(AddressConfig {
        subnets: SubnetLimits {
            v4_networks: vec![NetworkLimit {
                network: "198.51.100.0/24".parse().unwrap(),
                conns: 0.into(),
            }],
            ..SubnetLimits::none()
        },
        rates: RateLimits {
            v4_networks: vec![NetworkRate {
                network,
                rate: Some(Rate {
                    per_second: 0.0,
                    burst: 1,
                }),
            }],
            ..RateLimits::none()
        },
        ..AddressConfig::none()
    });
    let mut case = Case::of(manager.build().unwrap());
    let open = |address: &str| {
        let endpoint = Endpoint::from(address.parse::<std::net::IpAddr>().unwrap());
        case.manager.open_connection(IN, UsesFd::No, endpoint)
    };
    let _held = open("192.0.2.1").unwrap();
    open("192.0.2.1").unwrap_err();
    open("192.0.2.2").unwrap_err();
    open("198.51.100.1").unwrap_err();
    assert_eq!(
        case.said(),
        [
            "the rate limiter refused 2 connections by address in the last 1 s, 2 of them from \
             192.0.2.0/24; the limits are Addresses.Rates",
            "the subnet limiter refused 1 connection by address in the last 1 s, 1 of them from \
             198.51.100.0/24; the limits are Addresses.Networks",
        ]
    );
}
