//! Spans.

use rcmgr_atomic::{Error, Limit, Limits, Manager, Priority, ScopeClass};

use crate::support::{connection, manager, peer, refused, stream};

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
fn an_owner_releases_nothing_of_its_spans() {
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

/// Where the path has credit, a release of the owner could become credit at once.
#[test]
fn an_owner_releases_nothing_of_its_spans_although_its_path_has_credit() {
    let builder = Manager::builder().limits(Limits::unlimited());
    let manager = builder.credit_after(0).build().unwrap();
    let stream = stream(&manager);
    for _ in 0..3 {
        stream.reserve_memory(3, Priority::Always).unwrap();
        stream.release_memory(3);
    }
    let peak = manager.view_system().peak();
    assert!(peak.memory > 3, "no credit: {peak}");
    stream.reserve_memory(3, Priority::Always).unwrap();
    let span = stream.begin_span().unwrap();
    span.reserve_memory(10, Priority::Always).unwrap();
    stream.release_memory(5);
    assert_eq!(stream.stat().memory, 10, "that of the span");
    assert_eq!(manager.over_releases(ScopeClass::Stream), 1);
}

#[test]
fn a_span_keeps_its_shared_scope_alive_after_its_owner_is_done() {
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
fn spans_are_nested_at_most_64_deep() {
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
fn a_dropped_span_gives_all_back_even_if_its_own_spans_live() {
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
