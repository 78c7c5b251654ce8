//! Releasing, over-releases and guards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcmgr_atomic::{Clock, KIB, Manager, MemoryGuard, Priority, ResourceScope, ScopeClass};
use rcmgr_testkit::passed_in_own_process;

use crate::support::{connection, manager, peer, stream};

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// A subscriber that counts warnings.
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
fn an_over_release_takes_from_no_other_scope_and_is_counted() {
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
fn over_releases_are_logged_once_per_class_and_minute() {
    if passed_in_own_process("releases::over_releases_are_logged_once_per_class_and_minute") {
        return;
    }
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
fn a_guard_can_be_moved_grown_and_shrunk() {
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
