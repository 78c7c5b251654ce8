//! The refusal log, as a subscriber of `tracing` receives it.

#![cfg(feature = "observer")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rcmgr_atomic::address::{AddressConfig, AddressLimits, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{Clock, Direction, Endpoint, Limits, Manager, PeerId, UsesFd};
use rcmgr_metrics::RefusalLog;
use rcmgr_testkit::passed_in_own_process;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The fields of one line, including the message.
type Line = BTreeMap<&'static str, String>;

/// Keeps the lines.
#[derive(Debug, Clone, Default)]
struct Listener(Arc<Mutex<Vec<Line>>>);

impl Listener {
    fn heard(&self) -> Vec<Line> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("rcmgr_metrics")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Fields(Line);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.insert(field.name(), format!("{value:?}"));
            }
            fn record_str(&mut self, field: &Field, value: &str) {
                self.0.insert(field.name(), value.to_owned());
            }
        }
        assert_eq!(*event.metadata().level(), Level::WARN);
        let mut fields = Fields(Line::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
}

/// A clock that the test sets.
#[derive(Debug, Default)]
struct Hands(Mutex<Duration>);

impl Hands {
    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for Hands {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

fn refused_connection(manager: &Manager) {
    let opened = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    opened.unwrap_err();
}

#[test]
fn a_line_has_its_values_as_fields() {
    if passed_in_own_process("a_line_has_its_values_as_fields") {
        return;
    }
    let mut limits = Limits::unlimited();
    limits.peer_default.streams_inbound = 1.into();
    limits.conn.conns_inbound = 0.into();
    let manager = Manager::new(limits).unwrap();
    let peer: PeerId = "a".parse().unwrap();
    let held = manager.open_stream(&peer, Direction::Inbound).unwrap();
    let clock = Arc::new(Hands::default());
    let mut log = RefusalLog::new(manager.clone()).clock(clock.clone());
    for _ in 0..3 {
        manager.open_stream(&peer, Direction::Inbound).unwrap_err();
    }
    refused_connection(&manager);
    clock.pass(Duration::from_millis(1500));
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), || log.look());
    let [peers, conn] = <[Line; 2]>::try_from(listener.heard()).unwrap();
    let message = "peer:a refused 3 inbound streams in the last 2 s: 1 of 1 in use now; the limit is \
                   PeerDefault.StreamsInbound";
    let fields = [
        ("message", message),
        ("class", "peer"),
        ("scope", "peer:a"),
        ("scopes", "1"),
        ("resource", "streams-inbound"),
        ("direction", "inbound"),
        ("count", "3"),
        ("seconds", "2"),
        ("key", "PeerDefault.StreamsInbound"),
        ("used", "1"),
        ("limit", "1"),
    ];
    assert_eq!(
        peers,
        fields.map(|(name, value)| (name, value.to_owned())).into()
    );
    let of_conn = |name| conn.get(name).map(String::as_str);
    assert_eq!(of_conn("class"), Some("conn"));
    assert_eq!(of_conn("key"), Some("Conn.ConnsInbound"));
    assert_eq!((of_conn("limit"), of_conn("used")), (Some("0"), None));
    assert_eq!(of_conn("scope"), None);
    drop(held);
}

#[test]
fn a_flood_causes_one_line_per_interval_for_each_class_and_resource() {
    if passed_in_own_process("a_flood_causes_one_line_per_interval_for_each_class_and_resource") {
        return;
    }
    const THREADS: u64 = 4;
    const EACH: u64 = 10_000;
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 0.into();
    limits.peer_default.streams_inbound = 1.into();
    let manager = Manager::new(limits).unwrap();
    let peer = |number: u64| PeerId::from_bytes(&number.to_be_bytes()).unwrap();
    let open = |number| manager.open_stream(&peer(number), Direction::Inbound);
    let held: Vec<_> = (0..THREADS).map(|number| open(number).unwrap()).collect();
    let clock = Arc::new(Hands::default());
    let interval = Duration::from_secs(60);
    let mut log = RefusalLog::new(manager.clone())
        .interval(interval)
        .clock(clock.clone());

    let listener = Listener::default();
    let told = |lines: &[Line], class: &str| {
        let of_class = lines.iter().filter(|line| line["class"] == class);
        of_class
            .map(|line| line["count"].parse::<u64>().unwrap())
            .sum::<u64>()
    };
    let mut sums = (0, 0);
    for round in 1..=3_u64 {
        // Look after every refusal of the flood, while the clock stands still.
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|number| {
                    let (manager, open) = (&manager, &open);
                    scope.spawn(move || {
                        for _ in 0..EACH {
                            refused_connection(manager);
                            open(number).unwrap_err();
                        }
                    })
                })
                .collect();
            tracing::subscriber::with_default(listener.clone(), || {
                while threads.iter().any(|thread| !thread.is_finished()) {
                    log.look();
                }
            });
        });
        tracing::subscriber::with_default(listener.clone(), || log.look());
        let lines = listener.heard();
        let classes: Vec<_> = lines.iter().map(|line| &line["class"]).collect();
        assert_eq!(lines.len(), 2, "{classes:?} of round {round}");
        sums = (
            sums.0 + told(&lines, "system"),
            sums.1 + told(&lines, "peer"),
        );
        assert!(sums.0 <= round * THREADS * EACH && sums.1 <= round * THREADS * EACH);
        clock.pass(interval);
    }
    tracing::subscriber::with_default(listener.clone(), || log.flush());
    let rest = listener.heard();
    assert_eq!(rest.len(), 2);
    sums = (sums.0 + told(&rest, "system"), sums.1 + told(&rest, "peer"));
    assert_eq!(sums, (3 * THREADS * EACH, 3 * THREADS * EACH));
    drop(held);
}

#[test]
fn a_second_dry_run_counts_its_refusals_by_address_from_zero() {
    if passed_in_own_process("a_second_dry_run_counts_its_refusals_by_address_from_zero") {
        return;
    }
    let mut evaluated = Limits::unlimited();
    let one_for_each_address = AddressConfig {
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: 1,
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    };
    evaluated.addresses = AddressLimits::new(one_for_each_address).unwrap();
    let without = Limits::unlimited();
    let mut with = Limits::unlimited();
    with.dry_run = Some(Arc::new(evaluated));
    let manager = Manager::new(with.clone()).unwrap();
    let clock = Arc::new(Hands::default());
    let interval = Duration::from_secs(60);
    let mut log = RefusalLog::new(manager.clone())
        .interval(interval)
        .clock(clock.clone());
    let from: Endpoint = "192.0.2.1".parse::<IpAddr>().unwrap().into();
    let open = || manager.open_connection(Direction::Inbound, UsesFd::No, from);
    let listener = Listener::default();
    let mut look = || {
        clock.pass(interval);
        tracing::subscriber::with_default(listener.clone(), || log.look());
        let lines = listener.heard().into_iter();
        let counts = lines.map(|line| line["count"].parse::<u64>().unwrap());
        counts.collect::<Vec<_>>()
    };
    // A look between the two dry runs may see that there is none.
    for looks_between in [true, false] {
        let held: Vec<_> = (0..6).map(|_| open().unwrap()).collect();
        assert_eq!(look(), [5]);
        drop(held);
        manager.set_limits(without.clone());
        if looks_between {
            assert!(look().is_empty());
        }
        manager.set_limits(with.clone());
        let held: Vec<_> = (0..3).map(|_| open().unwrap()).collect();
        assert_eq!(look(), [2]);
        drop(held);
        manager.set_limits(without.clone());
        assert!(look().is_empty());
        manager.set_limits(with.clone());
    }
}

/// This test uses the global subscriber, because the log runs on another thread.
#[test]
fn the_thread_looks_periodically_and_flushes_at_the_end() {
    if passed_in_own_process("the_thread_looks_periodically_and_flushes_at_the_end") {
        return;
    }
    let listener = Listener::default();
    tracing::subscriber::set_global_default(listener.clone()).unwrap();
    let mut limits = Limits::unlimited();
    limits.transient.conns_inbound = 0.into();
    let manager = Manager::new(limits).unwrap();
    let log = RefusalLog::new(manager.clone());
    let running = log.start(Duration::from_millis(1)).unwrap();
    let counts = || {
        let lines = listener.heard().into_iter();
        let of_transient = lines.filter(|line| line["class"] == "transient");
        Vec::from_iter(of_transient.map(|line| line["count"].clone()))
    };
    refused_connection(&manager);
    let begin = Instant::now();
    loop {
        let said = counts();
        if !said.is_empty() {
            assert_eq!(said, ["1"]);
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "it never looks");
        thread::yield_now();
    }
    for _ in 0..5 {
        refused_connection(&manager);
    }
    assert_eq!(counts(), [""; 0], "the interval is a minute");
    drop(running);
    assert_eq!(counts(), ["5"]);
}
