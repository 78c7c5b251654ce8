//! Traces that a running manager writes.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::task::{Context, Waker};
use std::thread;

use fastrand::Rng;
use rcmgr_atomic::{
    AddressLimits, Direction, Endpoint, Limit, Limits, Manager, PeerId, Priority, ScopeStat,
};
use rcmgr_metrics::replay::{Options, Report, replay};
use rcmgr_metrics::trace::{Event, EventKind, TraceReader, TraceSink};
use rcmgr_testkit::{Kind, RandomOps, Session, Usage, usage};

fn peer(number: u64) -> PeerId {
    format!("peer-{number}").parse().unwrap()
}

fn manager(limits: Limits, sink: &TraceSink) -> Manager {
    let builder = Manager::builder().limits(limits);
    builder.recorder(sink.recorder()).build().unwrap()
}

/// All events of files that the reader has no notes about.
fn events(files: &[PathBuf]) -> Vec<Event> {
    let mut reader = TraceReader::open(files).unwrap();
    let events = (&mut reader).map(|event| event.unwrap().1).collect();
    assert_eq!(reader.notes().lines(), Vec::<String>::new());
    events
}

fn report(files: &[PathBuf]) -> Report {
    let options = Options {
        top: 10_000,
        ..Options::default()
    };
    replay(files, &options, &mut |_| {}).unwrap()
}

/// The usage of the shared scopes at the end of a trace, without those that hold nothing.
fn shared_usage(report: &Report) -> BTreeMap<String, Usage> {
    let scopes = report.scopes.iter();
    let usage = scopes.filter_map(|scope| Some((scope.name.clone(), scope.usage?)));
    usage
        .filter(|(name, usage)| !is_leaf(name) && *usage != [0; 6])
        .collect()
}

fn held(manager: &Manager) -> BTreeMap<String, Usage> {
    let scopes = manager.scopes().into_iter();
    scopes
        .filter(|scope| !scope.stat.is_zero())
        .map(|scope| (scope.id.to_string(), usage(&scope.stat)))
        .collect()
}

fn is_leaf(name: &str) -> bool {
    name.starts_with("conn-") || name.starts_with("stream-") || name.contains(".span-")
}

/// Limits under which scopes of every class refuse some of the random operations.
fn tight() -> Limits {
    let mut limits = Limits::unlimited();
    let tight = |scale: u64| Limit {
        memory: (scale * 20_000).into(),
        streams: (scale * 3).into(),
        conns: (scale * 2).into(),
        ..Limit::UNLIMITED
    };
    limits.system = tight(8);
    limits.transient = tight(5);
    limits.peer_default = tight(4);
    limits.protocol_default = tight(5);
    limits.protocol_peer_default = tight(2);
    limits.service_default = Some(tight(5));
    limits.service_peer_default = tight(2);
    limits.stream.memory = 20_000.into();
    limits
}

/// Random operations of several threads on handles that they share. At the end everything is closed.
fn at_random(manager: &Manager, threads: u64, steps: usize) {
    let operations = RandomOps {
        kinds: vec![
            (1, Kind::OpenConnection),
            (4, Kind::OpenStream),
            (1, Kind::OpenStreamWith),
            (1, Kind::OpenStreamThrough),
            (2, Kind::BeginSpan),
            (1, Kind::SetPeer),
            (2, Kind::SetProtocol),
            (2, Kind::SetService),
            (5, Kind::Reserve),
            (1, Kind::Hold),
            (2, Kind::Release),
            (1, Kind::Done),
            (2, Kind::Drop),
        ],
        on_shared: 10,
        peers: (0..3).map(peer).collect(),
        protocols: vec!["/a/1".into()],
        services: vec!["dht".into()],
        endpoints: vec![Endpoint::None],
        addresses: AddressLimits::default(),
        priorities: vec![Priority::Low, Priority::Always],
        size: |rng| rng.u64(..9_000),
    };
    let session = Session::new(manager.clone(), 64);
    thread::scope(|scope| {
        for seed in 0..threads {
            let (session, operations) = (&session, &operations);
            scope.spawn(move || {
                let mut rng = Rng::with_seed(seed);
                for _ in 0..steps {
                    // Grants and refusals are both in the trace.
                    let _ = session.perform(&operations.draw(&mut rng));
                }
            });
        }
    });
    // What was reserved on shared scopes is all that is left when the handles are gone.
    drop(session);
    let session = Session::new(manager.clone(), 1);
    for scope in manager.scopes() {
        if let Some(view) = session.view(&scope.id) {
            view.release();
        }
    }
}

/// Follows the shared scopes event by event. The usage of each is the sum of its events. It is never
/// below zero, and never over the limit, except for a charge that is given back at once because another
/// scope refused.
fn check_totals(events: &[Event]) {
    let mut sums: HashMap<&str, [i64; 6]> = HashMap::new();
    let mut limits: HashMap<&str, Limit> = HashMap::new();
    let mut refused = 0;
    for (at, event) in events.iter().enumerate() {
        let name = event.scope_name();
        if is_leaf(name) || event.kind == EventKind::Start {
            continue;
        }
        match event.kind {
            EventKind::CreateScope => {
                let before = sums.insert(name, [0; 6]);
                assert_eq!(before, None, "{name} is made twice");
                limits.insert(name, event.limit.unwrap().into());
                continue;
            }
            EventKind::DestroyScope => {
                let sum = sums.remove(name);
                assert_eq!(sum, Some([0; 6]), "{name} ends while it holds something");
                continue;
            }
            _ => {}
        }
        let sum = sums.get_mut(name).expect("it was made");
        let was_refused = event.kind.is_refusal();
        refused += u64::from(was_refused);
        if !was_refused {
            let amount = usage(&event.amount()).map(u64::cast_signed);
            for (sum, amount) in sum.iter_mut().zip(amount) {
                *sum += if event.kind.is_release() {
                    -amount
                } else {
                    amount
                };
            }
        }
        let mut totals = ScopeStat {
            streams_inbound: sum[0].cast_unsigned(),
            streams_outbound: sum[1].cast_unsigned(),
            conns_inbound: sum[2].cast_unsigned(),
            conns_outbound: sum[3].cast_unsigned(),
            fd: sum[4].cast_unsigned(),
            memory: sum[5].cast_unsigned(),
        };
        event.set_totals(&mut totals);
        assert_eq!(
            usage(&totals).map(u64::cast_signed),
            *sum,
            "{}",
            event.to_line()
        );
        assert!(sum.iter().all(|sum| *sum >= 0), "{}", event.to_line());
        let limit = &limits[name];
        let is_over = !limit.memory.allows(totals.memory)
            || !limit.streams.allows(totals.streams())
            || !limit.conns.allows(totals.conns());
        if is_over && event.kind.is_grant() {
            let next = events[at + 1..].iter().take(12);
            let is_undone = next.clone().any(|next| next.kind.is_refusal())
                && next.clone().any(|next| {
                    next.scope_name() == name
                        && next.kind.is_release()
                        && next.amount() == event.amount()
                });
            assert!(is_undone, "over its limit: {}", event.to_line());
        }
    }
    assert!(refused > 0, "nothing was refused");
    assert!(sums.values().all(|sum| *sum == [0; 6]), "{sums:?}");
    let mut left: Vec<_> = sums.into_keys().collect();
    left.sort_unstable();
    left.retain(|name| !name.starts_with("allowlisted"));
    assert_eq!(left, ["service:dht", "system", "transient"]);
}

#[test]
fn totals_of_several_threads_add_up_and_end_at_zero() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json.gz");
    let sink = TraceSink::builder(&path).queue(1 << 20).start().unwrap();
    let manager = manager(tight(), &sink);
    at_random(&manager, 4, 2_000);
    assert!(held(&manager).is_empty());
    let stats = sink.counters();
    sink.close().unwrap();
    assert_eq!(stats.dropped(), 0);
    let events = events(std::slice::from_ref(&path));
    assert!(events.len() as u64 > stats.written());
    check_totals(&events);
    assert!(shared_usage(&report(&[path])).is_empty());
}

#[test]
fn events_that_a_full_queue_drops_are_counted_and_missing_in_no_total() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json.gz");
    let sink = TraceSink::builder(&path).queue(4).start().unwrap();
    let manager = manager(tight(), &sink);
    at_random(&manager, 4, 2_000);
    let kept: Vec<_> = (0..3)
        .map(|number| {
            let stream = manager
                .open_stream(&peer(number), Direction::Inbound)
                .unwrap();
            stream.reserve_memory(100, Priority::Always).unwrap();
            stream
        })
        .collect();
    let stats = sink.counters();
    sink.close().unwrap();
    assert!(stats.dropped() > 0 && stats.written() > 0, "{stats:?}");
    let report = report(std::slice::from_ref(&path));
    assert_eq!(report.read.lines(), Vec::<String>::new());
    assert_eq!(report.system, [3, 0, 0, 0, 0, 300]);
    // The trace may lack a scope if all its events were dropped.
    let (had, holds) = (shared_usage(&report), held(&manager));
    for (name, usage) in &had {
        assert_eq!(Some(usage), holds.get(name), "{name}");
    }
    drop(kept);
}

#[test]
fn reserving_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sink = TraceSink::create(folder.path().join("trace.json.gz")).unwrap();
    let manager = manager(Limits::unlimited(), &sink);
    let stream = manager
        .open_stream_with(&peer(1), Direction::Inbound, "/a/1", Some("dht"))
        .unwrap();
    let allocated = allocation_counter::measure(|| {
        for _ in 0..100 {
            stream.reserve_memory(1000, Priority::Always).unwrap();
            stream.release_memory(1000);
        }
    });
    assert_eq!(allocated.count_total, 0);
    sink.close().unwrap();
}

fn numbered(folder: &Path, number: usize) -> PathBuf {
    match number {
        0 => folder.join("trace.json.gz"),
        number => folder.join(format!("trace.{number}.json.gz")),
    }
}

#[test]
fn a_file_of_a_rotation_can_be_read_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sink = TraceSink::builder(numbered(folder, 0))
        .rotate_at(20_000)
        .keep(3)
        .start()
        .unwrap();
    let manager = manager(Limits::unlimited(), &sink);
    let mut kept = Vec::new();
    for number in 0..4_000_u64 {
        let stream = manager
            .open_stream(&peer(number % 40), Direction::Inbound)
            .unwrap();
        stream.reserve_memory(number + 1, Priority::Always).unwrap();
        if number % 250 == 0 {
            kept.push(stream);
        }
    }
    let stats = sink.counters();
    sink.close().unwrap();
    assert_eq!(stats.dropped(), 0, "the queue is large enough");
    let holds = held(&manager);
    assert_eq!(holds["system"][0], 16);

    let files: Vec<_> = (0..=3)
        .rev()
        .map(|number| numbered(folder, number))
        .collect();
    assert!(!numbered(folder, 4).exists());
    for file in &files {
        let first = &events(std::slice::from_ref(file))[0];
        assert_eq!(first.kind, EventKind::Start);
        if *file != files[3] {
            let length = std::fs::metadata(file).unwrap().len();
            assert!((20_000..60_000).contains(&length), "{length}");
        }
    }
    for files in [&files[3..], &files[..]] {
        assert_eq!(shared_usage(&report(files)), holds);
    }

    // The existing file is moved aside.
    let before = std::fs::read(numbered(folder, 0)).unwrap();
    let sink = TraceSink::builder(numbered(folder, 0))
        .rotate_at(20_000)
        .start();
    sink.unwrap().close().unwrap();
    assert_eq!(std::fs::read(numbered(folder, 1)).unwrap(), before);
}

#[test]
fn after_the_end_the_manager_goes_on_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json.gz");
    let sink = TraceSink::create(&path).unwrap();
    let manager = manager(Limits::unlimited(), &sink);
    let stream = manager.open_stream(&peer(1), Direction::Inbound).unwrap();
    let stats = sink.counters();
    drop(sink);
    stream.reserve_memory(1000, Priority::Always).unwrap();
    drop(stream);
    assert!(held(&manager).is_empty());
    assert_eq!((stats.written(), stats.dropped()), (2, 0));
    let report = report(std::slice::from_ref(&path));
    assert_eq!(report.system, [1, 0, 0, 0, 0, 0]);
}

#[test]
fn spans_and_direct_reservations_are_named_as_in_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json.gz");
    let sink = TraceSink::create(&path).unwrap();
    let manager = manager(Limits::unlimited(), &sink);
    let dht = manager.view_service("dht");
    dht.reserve_memory(10, Priority::Medium).unwrap();
    let span = dht.begin_span().unwrap();
    span.reserve_memory(5, Priority::Always).unwrap();
    let inner = span.begin_span().unwrap();
    inner.reserve_memory(3, Priority::Always).unwrap();
    drop(inner);
    span.release_memory(1);
    drop(span);
    let of_system = manager.view_system().begin_span().unwrap();
    drop(of_system);
    dht.release_memory(10);
    sink.close().unwrap();
    let told: Vec<String> = events(&[path])
        .iter()
        .skip(5)
        .map(|event| {
            let total = event
                .kind
                .is_of_memory()
                .then(|| format!(" {}", event.memory));
            format!(
                "{} {}{}",
                event.kind,
                event.scope_name(),
                total.unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "reserve_memory system 10",
            "create_scope service:dht",
            "reserve_memory service:dht 10",
            "create_scope service:dht.span-1",
            "reserve_memory system 15",
            "reserve_memory service:dht 15",
            "reserve_memory service:dht.span-1 5",
            "create_scope service:dht.span-1.span-1",
            "reserve_memory system 18",
            "reserve_memory service:dht 18",
            "reserve_memory service:dht.span-1 8",
            "reserve_memory service:dht.span-1.span-1 3",
            "release_memory system 15",
            "release_memory service:dht 15",
            "release_memory service:dht.span-1 5",
            "destroy_scope service:dht.span-1.span-1",
            "release_memory system 14",
            "release_memory service:dht 14",
            "release_memory service:dht.span-1 4",
            "release_memory system 10",
            "release_memory service:dht 10",
            "destroy_scope service:dht.span-1",
            "create_scope system.span-1",
            "destroy_scope system.span-1",
            "release_memory system 0",
            "release_memory service:dht 0",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nowhere").join("trace.json.gz");
    let error = TraceSink::create(&path).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: ", path.display())),
        "{error}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_trace_and_nothing_else() {
    let sink = TraceSink::create("/dev/full").unwrap();
    let manager = manager(Limits::unlimited(), &sink);
    for _ in 0..20_000 {
        drop(manager.open_stream(&peer(1), Direction::Inbound).unwrap());
    }
    let stats = sink.counters();
    assert!(sink.close().is_err());
    assert!(stats.dropped() > 0, "{stats:?}");
    assert!(held(&manager).is_empty());
}

#[test]
fn a_wait_is_no_refusal_in_a_trace_and_a_request_behind_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let sink = TraceSink::create(&path).unwrap();
    let mut limits = Limits::unlimited();
    limits.peer_default.streams_inbound = 1.into();
    limits.waiters = 1.into();
    let manager = manager(limits, &sink);
    let open = || manager.open_stream(&peer(1), Direction::Inbound);
    let wait = || Box::pin(manager.open_stream_when_available(&peer(1), Direction::Inbound));
    let mut task = Context::from_waker(Waker::noop());

    let held = open().unwrap();
    let mut first = wait();
    assert!(first.as_mut().poll(&mut task).is_pending());
    // The queue is full.
    assert!(wait().as_mut().poll(&mut task).is_ready());
    drop(held);
    // There is room, but not for a request that does not wait.
    open().unwrap_err();
    assert!(first.as_mut().poll(&mut task).is_ready());
    sink.close().unwrap();

    let events = events(std::slice::from_ref(&path));
    let of_peer = events
        .iter()
        .filter(|event| event.scope_name() == "peer:peer-1");
    let kinds: Vec<_> = of_peer.map(|event| event.kind.clone()).collect();
    let streams: Vec<_> = kinds
        .iter()
        .filter(|kind| {
            matches!(
                kind,
                EventKind::AddStream | EventKind::RemoveStream | EventKind::BlockAddStream
            )
        })
        .collect();
    use EventKind::{AddStream, BlockAddStream, RemoveStream};
    let expected = [
        AddStream,
        BlockAddStream,
        RemoveStream,
        BlockAddStream,
        AddStream,
        RemoveStream,
    ];
    assert_eq!(streams, expected.iter().collect::<Vec<_>>());
    let of_peers = |refused: &rcmgr_metrics::replay::Blocked| refused.scope == "peer";
    let refused: u64 = report(&[path])
        .blocked_resources
        .iter()
        .filter(|blocked| of_peers(blocked))
        .map(|blocked| blocked.value)
        .sum();
    assert_eq!(refused, 2);
}
