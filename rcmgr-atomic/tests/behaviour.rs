//! What a user may count on, one sentence each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rcmgr_atomic::dynamic::{DynResourceManager, erase};
use rcmgr_atomic::{
    Clock, Connection, ConnectionScope, Direction, Endpoint, Error, KIB, Limit, LimitExceeded,
    LimitValue, Limits, Manager, MemoryGuard, PeerId, Priority, Resource, ResourceManager,
    ResourceScope, ScopeClass, ScopeId, ScopeStat, Service, Stream, StreamScope, SystemClock,
    UsesFd,
};

/// The scopes that are always there.
const BUILT_IN: [ScopeClass; 4] = [
    ScopeClass::System,
    ScopeClass::Transient,
    ScopeClass::AllowlistedSystem,
    ScopeClass::AllowlistedTransient,
];

fn manager(tighten: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    tighten(&mut limits);
    Manager::new(limits).unwrap()
}

fn peer() -> PeerId {
    "tenant-7".parse().unwrap()
}

fn connection(manager: &Manager) -> Connection {
    manager
        .open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)
        .unwrap()
}

fn stream(manager: &Manager) -> Stream {
    manager.open_stream(&peer(), Direction::Inbound).unwrap()
}

fn refused(error: Error) -> LimitExceeded {
    match error {
        Error::LimitExceeded(refused) => refused,
        other => panic!("not a limit: {other}"),
    }
}

#[test]
fn an_error_has_every_fact_of_the_refusal() {
    let manager = manager(|limits| limits.system.memory = 1000.into());
    let stream = stream(&manager);
    stream.reserve_memory(500, Priority::Always).unwrap();
    let error = stream.reserve_memory(101, Priority::Medium).unwrap_err();
    assert!(error.is_temporary());
    assert_eq!(
        refused(error),
        LimitExceeded {
            scope: ScopeId::System.into(),
            resource: Resource::Memory,
            direction: None,
            requested: 101,
            used: 500,
            limit: LimitValue::Limited(1000),
            priority: Some(Priority::Medium),
        }
    );
}

#[test]
fn a_priority_may_use_its_share_to_the_byte() {
    // (1 + 152) * 1000 / 256 = 597.65
    let manager = manager(|limits| limits.system.memory = 1000.into());
    let system = manager.view_system();
    system.reserve_memory(597, Priority::Medium).unwrap();
    assert!(system.reserve_memory(1, Priority::Medium).is_err());
    // Nothing more is asked, but usage is at the share already.
    system.reserve_memory(0, Priority::Medium).unwrap();
    system.reserve_memory(1, Priority::High).unwrap();
    assert!(system.reserve_memory(0, Priority::Medium).is_err());
}

#[test]
fn nothing_wraps() {
    let manager = manager(|_| {});
    let most = (1 << 59) - 1;
    let stream = stream(&manager);
    stream.reserve_memory(most, Priority::Always).unwrap();
    for size in [1, most, u64::MAX] {
        let error = refused(stream.reserve_memory(size, Priority::Always).unwrap_err());
        assert_eq!((error.used, error.limit), (most, LimitValue::Unlimited));
    }
    let system = manager.view_system();
    assert!(system.reserve_memory(u64::MAX, Priority::Always).is_err());
    let rest = (1 << 63) - 1;
    system.reserve_memory(rest, Priority::Always).unwrap();
    assert!(system.reserve_memory(1, Priority::Always).is_err());
    assert_eq!(system.stat().memory, most + rest);
    let span = system.begin_span().unwrap();
    assert!(span.reserve_memory(u64::MAX, Priority::Always).is_err());
    span.reserve_memory(1 << 61, Priority::Low).unwrap();
    drop(span);
    drop(stream);
    system.release();
    assert!(system.stat().is_zero());
}

#[test]
fn a_limit_that_is_lowered_evicts_nothing_and_blocks_what_is_new() {
    let manager = manager(|_| {});
    let (first, second) = (connection(&manager), connection(&manager));
    first.reserve_memory(100, Priority::Always).unwrap();
    let mut limits = Limits::unlimited();
    limits.system.conns = 1.into();
    limits.system.memory = 50.into();
    manager.set_limits(limits);
    assert_eq!(manager.stat().system.conns(), 2);
    assert!(first.reserve_memory(0, Priority::Always).is_err());
    drop(second);
    let open = manager.open_connection(Direction::Outbound, UsesFd::No, Endpoint::None);
    assert_eq!(refused(open.unwrap_err()).resource, Resource::Conns);
    assert_eq!(manager.view_system().remaining().memory, 0.into());
    assert_eq!(manager.view_system().remaining().fd, LimitValue::Unlimited);
}

#[test]
fn a_limit_set_by_hand_on_a_peer_outlives_the_scope_until_it_is_taken_back() {
    let manager = manager(|limits| limits.peer_default.streams = 7.into());
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    assert!(manager.peers().is_empty(), "nothing refers to it");
    assert!(manager.open_stream(&peer(), Direction::Inbound).is_err());
    manager.set_limits(Limits::unlimited());
    assert!(manager.open_stream(&peer(), Direction::Inbound).is_err());
    manager.view_peer(&peer()).reset_limit();
    assert_eq!(manager.view_peer(&peer()).limit(), Limit::UNLIMITED);
    drop(stream(&manager));
}

#[test]
fn memory_still_reserved_keeps_a_scope_alive() {
    let manager = manager(|_| {});
    let reserve = |scope: rcmgr_atomic::Scope| scope.reserve_memory(1, Priority::Always).unwrap();
    reserve(manager.view_peer(&peer()));
    reserve(manager.view_protocol("/ping"));
    assert_eq!(manager.peers(), [peer()]);
    assert_eq!(manager.protocols(), ["/ping".into()]);
    manager.view_peer(&peer()).release();
    manager.view_protocol("/ping").release_memory(1);
    assert!(manager.peers().is_empty() && manager.protocols().is_empty());
    assert!(manager.stat().system.is_zero());
}

#[test]
fn a_closed_handle_keeps_no_scope_alive() {
    let manager = manager(|_| {});
    let (connection, stream) = (connection(&manager), stream(&manager));
    connection.set_peer(&peer()).unwrap();
    stream.set_protocol("/ping").unwrap();
    let span = manager.view_peer(&peer()).begin_span().unwrap();
    connection.done();
    stream.done();
    assert_eq!(manager.peers(), [peer()], "the span is open");
    span.done();
    assert!(manager.peers().is_empty() && manager.protocols().is_empty());
    let left = manager.scopes().into_iter().map(|scope| scope.id.class());
    assert!(left.eq(BUILT_IN));
    connection.done();
    assert_eq!(connection.peer(), Some(peer()));
}

#[test]
fn after_done_a_handle_reserves_nothing_and_releases_nothing() {
    let manager = manager(|_| {});
    let stream = stream(&manager);
    stream.reserve_memory(10, Priority::Always).unwrap();
    stream.done();
    let closed = Error::ScopeClosed {
        scope: stream.name(),
    };
    assert_eq!(
        stream.reserve_memory(1, Priority::Always),
        Err(closed.clone())
    );
    assert_eq!(stream.begin_span().err(), Some(closed.clone()));
    assert_eq!(stream.set_protocol("/ping"), Err(closed.clone()));
    assert!(!closed.is_temporary());
    stream.release_memory(10);
    stream.done();
    assert!(manager.stat().system.is_zero());
    assert_eq!(manager.over_releases(ScopeClass::Stream), 0);
}

#[test]
fn a_span_outlives_its_owner_and_has_nothing_left_to_give() {
    let manager = manager(|_| {});
    let stream = stream(&manager);
    let span = stream.begin_span().unwrap();
    let guard = span.reserve(10, Priority::Always).unwrap();
    assert_eq!(
        (stream.stat().memory, span.name().to_string()),
        (10, "stream-1.span-1".into())
    );
    drop(stream);
    assert!(manager.stat().system.is_zero());
    drop(guard);
    assert!(matches!(
        span.reserve_memory(1, Priority::Always),
        Err(Error::ScopeClosed { scope }) if scope == span.name()
    ));
    span.done();
    assert!(manager.stat().system.is_zero());
    assert_eq!(manager.over_releases(ScopeClass::Span), 0);
}

#[test]
fn a_span_obeys_its_owners_limit_as_it_is_now() {
    let manager = manager(|limits| limits.stream.memory = 100.into());
    let stream = stream(&manager);
    let span = stream.begin_span().unwrap();
    span.reserve_memory(60, Priority::Always).unwrap();
    let tight = Limit {
        memory: 80.into(),
        ..Limit::UNLIMITED
    };
    stream.set_limit(tight);
    assert_eq!(span.limit(), tight);
    let error = refused(span.reserve_memory(30, Priority::Always).unwrap_err());
    assert_eq!((error.scope, error.limit), (span.name(), 80.into()));
    stream.reset_limit();
    span.reserve_memory(40, Priority::Always).unwrap();
}

#[test]
fn a_connection_may_be_attached_to_a_service_before_or_after_its_peer() {
    for service_first in [true, false] {
        let manager = manager(|_| {});
        let connection = connection(&manager);
        connection.reserve_memory(10, Priority::Always).unwrap();
        if service_first {
            connection.set_service("web").unwrap();
            assert!(manager.stat().transient.is_zero());
            connection.set_peer(&peer()).unwrap();
        } else {
            connection.set_peer(&peer()).unwrap();
            connection.set_service("web").unwrap();
        }
        let held = ScopeStat {
            conns_inbound: 1,
            fd: 1,
            memory: 10,
            ..ScopeStat::ZERO
        };
        let scopes: Vec<_> = manager
            .scopes()
            .into_iter()
            .filter(|scope| scope.stat == held)
            .map(|scope| scope.id.to_string())
            .collect();
        let expected = [
            "system",
            "service:web",
            "service:web.peer:tenant-7",
            "peer:tenant-7",
        ];
        assert_eq!(scopes, expected);
        let again = connection.set_service("dns");
        assert!(matches!(
            again,
            Err(Error::AlreadyAttached {
                to: ScopeClass::Service,
                ..
            })
        ));
        drop(connection);
        assert!(manager.stat().system.is_zero());
    }
}

#[test]
fn a_service_without_any_limit_is_a_span_of_the_system_scope() {
    let manager = manager(|limits| {
        limits.service_default = None;
        limits.service.insert("dht".into(), Limit::UNLIMITED);
    });
    let dht = manager.open_service("dht").unwrap();
    assert!(matches!(dht, Service::Scope(_)));
    let other = manager.open_service("other").unwrap();
    assert!(matches!(other, Service::Span(_)));
    other.reserve_memory(10, Priority::Always).unwrap();
    assert_eq!(manager.stat().system.memory, 10);
    assert_eq!(manager.services(), ["dht".into()]);
    drop(other);
    assert!(manager.stat().system.is_zero());
}

#[test]
fn release_gives_back_what_the_scope_itself_holds_and_leaves_it_open() {
    let manager = manager(|_| {});
    let stream = stream(&manager);
    stream.set_protocol("/ping").unwrap();
    stream.set_service("dht").unwrap();
    stream.reserve_memory(5, Priority::Always).unwrap();
    let dht = manager.view_service("dht");
    let span = dht.begin_span().unwrap();
    span.reserve_memory(7, Priority::Always).unwrap();
    dht.reserve_memory(100, Priority::Always).unwrap();
    dht.release();
    assert_eq!(dht.stat().memory, 12, "the stream's and the span's");
    stream.release();
    assert_eq!((dht.stat().memory, dht.stat().streams()), (7, 1));
    stream.reserve_memory(1, Priority::Always).unwrap();
}

#[test]
fn what_a_span_holds_is_not_its_owners_to_release() {
    let manager = manager(|_| {});
    let stream = stream(&manager);
    stream.reserve_memory(3, Priority::Always).unwrap();
    let span = stream.begin_span().unwrap();
    span.reserve_memory(10, Priority::Always).unwrap();
    let inner = span.begin_span().unwrap();
    inner.reserve_memory(5, Priority::Always).unwrap();
    stream.release();
    span.release();
    assert_eq!((stream.stat().memory, span.stat().memory), (5, 5));
    stream.reserve_memory(4, Priority::Always).unwrap();
    inner.done();
    span.done();
    assert_eq!(stream.stat().memory, 4);
    stream.release_memory(5);
    assert_eq!(stream.stat().memory, 0);
    assert_eq!(manager.over_releases(ScopeClass::Stream), 1);
}

#[test]
fn a_service_with_a_limit_set_by_hand_has_one() {
    let manager = manager(|limits| limits.service_default = None);
    manager.view_service("dht").set_limit(Limit::BLOCK_ALL);
    assert!(matches!(manager.open_service("dht"), Ok(Service::Scope(_))));
    manager.view_service("dht").reset_limit();
    assert!(matches!(manager.open_service("dht"), Ok(Service::Span(_))));
}

#[test]
fn of_a_peer_and_its_share_of_a_service_the_peer_is_asked_first() {
    let manager = manager(|limits| {
        limits.peer_default = Limit::BLOCK_ALL;
        limits.service_peer_default = Limit::BLOCK_ALL;
    });
    let connection = connection(&manager);
    connection.set_service("web").unwrap();
    let error = refused(connection.set_peer(&peer()).unwrap_err());
    assert_eq!(error.scope, ScopeId::Peer(peer()).into());
    assert!(manager.peers().is_empty());
}

#[test]
fn an_over_release_takes_from_nobody_else_and_is_counted() {
    let manager = manager(|_| {});
    let (ours, theirs) = (stream(&manager), stream(&manager));
    ours.reserve_memory(10, Priority::Always).unwrap();
    theirs.reserve_memory(10, Priority::Always).unwrap();
    ours.release_memory(15);
    assert_eq!(manager.stat().system.memory, 10);
    assert_eq!(manager.over_releases(ScopeClass::Stream), 1);
    let peer = manager.view_peer(&peer());
    peer.release_memory(1);
    assert_eq!(
        peer.stat().memory,
        10,
        "nothing was reserved on it directly"
    );
    assert_eq!(manager.over_releases(ScopeClass::Peer), 1);
}

#[test]
fn a_guard_may_be_kept_elsewhere_grown_and_shrunk() {
    let manager = manager(|limits| limits.stream.memory = (100 * KIB).into());
    let stream = Arc::new(stream(&manager));
    let mut held = MemoryGuard::new(stream.clone(), 10 * KIB, Priority::Always).unwrap();
    held.grow(20 * KIB, Priority::Always).unwrap();
    assert!(held.grow(200 * KIB, Priority::Always).is_err());
    assert_eq!((held.size(), stream.stat().memory), (30 * KIB, 30 * KIB));
    held.shrink_to(5 * KIB);
    held.shrink_to(50 * KIB);
    assert_eq!(stream.stat().memory, 5 * KIB);
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert_eq!(stream.stat().memory, 0);
    assert_eq!(manager.over_releases(ScopeClass::Stream), 0);
}

#[test]
fn after_close_nothing_opens_and_what_is_open_goes_on() {
    let manager = manager(|_| {});
    let open = stream(&manager);
    manager.close();
    let closed = |error: Error| matches!(error, Error::ScopeClosed { .. });
    let connection = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    assert!(closed(connection.unwrap_err()));
    assert!(closed(
        manager
            .open_stream(&peer(), Direction::Inbound)
            .unwrap_err()
    ));
    assert!(closed(manager.open_service("dht").unwrap_err()));
    open.set_protocol("/ping").unwrap();
    open.reserve_memory(10, Priority::Always).unwrap();
    assert_eq!(manager.stat().system.memory, 10);
}

#[test]
fn what_is_open_goes_on_when_the_manager_is_dropped() {
    let manager = manager(|_| {});
    let (connection, view) = (connection(&manager), manager.view_system());
    drop(manager);
    connection.set_peer(&peer()).unwrap();
    connection.reserve_memory(10, Priority::Always).unwrap();
    assert_eq!(view.stat().memory, 10);
    drop(connection);
    assert!(view.stat().is_zero());
}

#[test]
fn peaks_and_refusals_are_counted_by_scope_and_kept_by_class() {
    let manager = manager(|limits| limits.peer_default.streams_inbound = 1.into());
    let first = stream(&manager);
    assert!(manager.open_stream(&peer(), Direction::Inbound).is_err());
    let scope = manager.view_peer(&peer());
    assert_eq!(scope.refusals().streams_inbound, 1);
    first.reserve_memory(100, Priority::Always).unwrap();
    first.release();
    let peak = scope.peak();
    assert_eq!((peak.memory, peak.streams_inbound), (100, 1));
    drop((first, scope));
    assert!(manager.peers().is_empty());
    assert_eq!(manager.refusals(ScopeClass::Peer).streams_inbound, 1);
    let by_class = ScopeClass::ALL.map(|class| manager.refusals(class));
    assert_eq!(manager.all_refusals(), by_class);
    assert_eq!(manager.for_each_scope(|_| {}), by_class);
    // What the refused stream had charged for a moment is no peak.
    assert_eq!(manager.view_system().peak().streams_inbound, 1);
}

#[test]
fn a_peer_that_refused_again_and_again_opens_streams_as_soon_as_it_may() {
    let manager = manager(|limits| limits.peer_default.streams_inbound = 1.into());
    let other: PeerId = "not-tenant-7".parse().unwrap();
    let open_both_ways = |peer: &PeerId| {
        [
            manager.open_stream(peer, Direction::Inbound).map(drop),
            manager
                .open_stream_with(peer, Direction::Inbound, "/ping", None)
                .map(drop),
        ]
    };
    let opens = |peer: &PeerId| {
        let [one, with] = open_both_ways(peer);
        assert_eq!(one.is_ok(), with.is_ok());
        one.is_ok()
    };
    let scope = manager.view_peer(&peer());
    let mut refusals = 0;
    let mut refuse_often = || {
        for _ in 0..3 {
            assert!(!opens(&peer()));
            refusals += 2;
            assert_eq!(scope.refusals().streams_inbound, refusals);
        }
    };

    let first = stream(&manager);
    refuse_often();
    // Others are not taken for it, even where their ids end as its does, nor is what it has room for.
    assert!(opens(&other));
    let _ = manager.open_stream(&peer(), Direction::Outbound).unwrap();
    refuse_often();
    // Limits of its own.
    scope.set_limit(Limit::UNLIMITED);
    assert!(opens(&peer()));
    scope.reset_limit();
    refuse_often();
    // Room.
    drop(first);
    assert!(opens(&peer()));
    let second = stream(&manager);
    refuse_often();
    // Gone, and made anew.
    drop((second, scope));
    assert!(manager.peers().is_empty());
    assert!(opens(&peer()));
    // Gone with a limit that others have no more when it is made anew.
    let outbound = manager.open_stream(&peer(), Direction::Outbound).unwrap();
    let mut limits = Limits::unlimited();
    limits.peer_default.streams_inbound = 0.into();
    manager.set_limits(limits.clone());
    let refuse_by = |class| {
        for result in open_both_ways(&peer()) {
            assert_eq!(refused(result.unwrap_err()).scope.scope.class(), class);
        }
    };
    (0..3).for_each(|_| refuse_by(ScopeClass::Peer));
    // A stream's own limit comes first.
    limits.stream.streams_inbound = 0.into();
    manager.set_limits(limits.clone());
    refuse_by(ScopeClass::Stream);
    limits.stream = Limit::UNLIMITED;
    manager.set_limits(limits);
    (0..3).for_each(|_| refuse_by(ScopeClass::Peer));
    drop(outbound);
    manager.set_limits(Limits::unlimited());
    assert!(opens(&peer()));
    // Who is closed asks nobody.
    let _third = stream(&manager);
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    (0..3).for_each(|_| refuse_by(ScopeClass::Peer));
    manager.close();
    for result in open_both_ways(&peer()) {
        assert!(matches!(result, Err(Error::ScopeClosed { .. })));
    }
}

#[test]
fn a_manager_chosen_at_run_time_does_the_same() {
    fn serve<M: ResourceManager>(manager: &M) -> rcmgr_atomic::Result<u64> {
        let connection =
            manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
        connection.set_peer(&peer())?;
        let stream = manager.open_stream(&peer(), Direction::Inbound)?;
        stream.set_protocol("/ping")?;
        let span = stream.begin_span()?;
        let inner = span.begin_span()?;
        let _held = inner.reserve(10, Priority::Always)?;
        Ok(manager.stat().system.memory)
    }
    let atomic = manager(|_| {});
    let dynamic: Arc<DynResourceManager> = erase(atomic.clone());
    assert_eq!(serve(&dynamic), Ok(10));
    assert_eq!(serve(&atomic), Ok(10));
    assert!(atomic.stat().system.is_zero());
}

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Counts the warnings that are logged.
#[derive(Default)]
struct Warnings(Arc<AtomicU64>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn over_releases_are_logged_once_a_class_and_minute() {
    let clock = Arc::new(TestClock::default());
    let manager = Manager::builder().clock(clock.clone()).build().unwrap();
    let warnings = Warnings::default();
    let count = warnings.0.clone();
    tracing::subscriber::with_default(warnings, || {
        let (stream, connection) = (stream(&manager), connection(&manager));
        for _ in 0..3 {
            stream.release_memory(1);
            connection.release_memory(1);
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
        clock.0.store(60, Ordering::Relaxed);
        stream.release_memory(1);
        assert_eq!(count.load(Ordering::Relaxed), 3);
    });
    assert_eq!(manager.over_releases(ScopeClass::Stream), 4);
}

#[test]
fn a_span_keeps_the_scope_that_it_is_part_of_even_when_its_owner_is_done() {
    let manager = manager(|_| {});
    let outer = manager.view_peer(&peer()).begin_span().unwrap();
    let inner = outer.begin_span().unwrap();
    outer.done();
    assert_eq!(manager.peers(), [peer()]);

    let mut limits = Limits::unlimited();
    limits.peer_default = Limit::BLOCK_ALL;
    manager.set_limits(limits);
    assert_eq!(inner.limit(), Limit::BLOCK_ALL);
    inner.done();
    assert!(manager.peers().is_empty());
}

#[test]
fn spans_are_nested_so_deep_and_no_deeper() {
    let manager = manager(|_| {});
    let mut spans = vec![manager.view_system().begin_span().unwrap()];
    let refused = loop {
        match spans[spans.len() - 1].begin_span() {
            Ok(span) => spans.push(span),
            Err(refused) => break refused,
        }
    };
    assert_eq!(spans.len(), 64);
    let last = &spans[63];
    assert_eq!(
        refused,
        Error::SpansTooDeep {
            scope: last.name(),
            most: 64
        }
    );
    last.reserve_memory(1, Priority::Always).unwrap();
    assert_eq!(spans[0].stat().memory, 1);
    drop(spans);
    assert!(manager.stat().system.is_zero());
}

#[test]
fn a_scope_may_be_looked_up_while_all_are_shown() {
    let (done, finished) = mpsc::channel();
    // In a thread of its own: one that waits for itself does so for good.
    thread::spawn(move || {
        let manager = manager(|_| {});
        let _view = manager.view_peer(&peer());
        let mut shown = 0;
        manager.for_each_scope(|report| {
            if let ScopeId::Peer(peer) = report.id {
                let stream = manager.open_stream(&peer, Direction::Inbound);
                assert_eq!(manager.stat().peers[&peer].streams_inbound, 1);
                drop(stream);
                shown += 1;
            }
        });
        done.send(shown).expect("it is waited for");
    });
    let shown = finished.recv_timeout(Duration::from_secs(60));
    assert_eq!(shown.expect("it does not wait for itself"), 1);
}

#[test]
fn a_span_that_is_dropped_gives_all_back_though_spans_of_it_are_kept() {
    let manager = manager(|_| {});
    let connection = connection(&manager);
    let outer = connection.begin_span().unwrap();
    let inner = outer.begin_span().unwrap();
    outer.reserve_memory(100, Priority::Always).unwrap();
    inner.reserve_memory(10, Priority::Always).unwrap();
    drop(outer);
    assert_eq!(connection.stat().memory, 0);
    assert!(inner.reserve_memory(1, Priority::Always).is_err());
}

#[test]
fn nothing_is_left_of_a_manager_when_it_and_all_that_it_opened_are_gone() {
    let clock = Arc::new(SystemClock::new());
    let builder = Manager::builder().clock(clock.clone());
    let manager = builder.credit_after(0).build().unwrap();
    let connection = connection(&manager);
    connection.set_service("relay").unwrap();
    connection.set_peer(&peer()).unwrap();
    // All of these lend, and some by more than one kind.
    for _ in 0..4 {
        let stream = connection.open_stream(Direction::Inbound).unwrap();
        stream.reserve_memory(KIB, Priority::Always).unwrap();
        stream.set_protocol("/kad").unwrap();
        stream.set_service("dht").unwrap();
        stream.reserve_memory(KIB, Priority::Always).unwrap();
        connection.reserve_memory(KIB, Priority::Always).unwrap();
    }
    drop(manager);
    let span = connection.begin_span().unwrap();
    drop(connection);
    assert!(Arc::strong_count(&clock) > 1);
    drop(span);
    assert_eq!(Arc::strong_count(&clock), 1);
}
