//! Requests that wait for room: in the metrics, in the live view, and under limits that are sent over
//! HTTP.

mod client;
mod exposition;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::http::StatusCode;
use client::{TOML, json, put, send, view};
use exposition::Exposition;
use rcmgr_atomic::{
    Clock, Connection, Direction, Endpoint, Error, KIB, Limits, Manager, PeerId, Priority, UsesFd,
};
use rcmgr_metrics::{Observer, http};
use serde_json::{Value, json as object};

const IN: Direction = Direction::Inbound;

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
}

impl Case {
    fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::unlimited();
        change(&mut limits);
        let clock = Arc::new(Hands::default());
        let builder = Manager::builder().limits(limits).clock(clock.clone());
        let manager = builder.build().unwrap();
        Self { manager, clock }
    }

    fn pass(&self, millis: u64) {
        *self.clock.0.lock().unwrap() += Duration::from_millis(millis);
    }

    fn connect(&self) -> rcmgr_core::Result<Connection> {
        self.manager.open_connection(IN, UsesFd::No, Endpoint::None)
    }
}

fn peer(name: &str) -> PeerId {
    name.parse().unwrap()
}

/// Polls without a task to wake.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn the_metrics_count_waits_by_class_and_resource_and_how_they_end() {
    let case = Case::new(|limits| {
        limits.peer_default.memory = (64 * KIB).into();
        limits.system.conns_inbound = 1.into();
        limits.waiters = 2.into();
    });
    let observer = Observer::new(case.manager.clone());
    let [a, b] = ["a", "b"].map(|name| case.manager.view_peer(&peer(name)));
    let held = [&a, &b].map(|peer| peer.reserve(60 * KIB, Priority::Always).unwrap());
    let connection = case.connect().unwrap();

    let first = Exposition::of(&observer);
    let none = [("resource", "memory"), ("scope", "peer")];
    assert_eq!(first.get("rcmgr_waiting", &none), None);
    let begun = |shown: &Exposition, scope| shown.get("rcmgr_waits_total", &[("scope", scope)]);
    assert_eq!(begun(&first, "peer"), Some(0.0));

    // Two wait for memory of one peer, one for that of another, one for a connection.
    let mut of_a = [16, 32].map(|size| a.reserve_when_available(size * KIB, Priority::Always));
    let mut of_b = b.reserve_when_available(8 * KIB, Priority::Always);
    let manager = &case.manager;
    let mut conn = manager.open_connection_when_available(IN, UsesFd::No, Endpoint::None);
    assert!(poll(&mut of_a[0]).is_pending());
    case.pass(1500);
    assert!(poll(&mut of_a[1]).is_pending());
    assert!(poll(&mut of_b).is_pending() && poll(&mut conn).is_pending());
    let full = poll(&mut a.reserve_when_available(1024, Priority::Always));
    assert!(matches!(full, Poll::Ready(Err(Error::QueueFull(_)))));
    case.pass(500);
    let shown = Exposition::of(&observer);
    let now = |resource, scope| {
        let labels = [("resource", resource), ("scope", scope)];
        ["", "_amount", "_longest_seconds"]
            .map(|of| shown.get(&format!("rcmgr_waiting{of}"), &labels).unwrap())
    };
    assert_eq!(now("memory", "peer"), [3.0, 56.0 * 1024.0, 2.0]);
    assert_eq!(now("conns_inbound", "system"), [1.0, 1.0, 0.5]);
    assert_eq!(begun(&shown, "peer"), Some(3.0));
    assert_eq!(begun(&shown, "system"), Some(1.0));

    // One is granted, one is given up, and the others end with the manager.
    let [of_a, given_up] = &mut of_a;
    drop(held);
    let granted = poll(of_a);
    assert!(matches!(granted, Poll::Ready(Ok(_))), "{granted:?}");
    drop(std::mem::replace(
        given_up,
        a.reserve_when_available(0_u64, Priority::Always),
    ));
    case.manager.close();
    let closed = [poll(&mut of_b).map(|_| ()), poll(&mut conn).map(|_| ())];
    assert_eq!(closed, [Poll::Ready(()), Poll::Ready(())]);
    let shown = Exposition::of(&observer);
    let ended = |scope| {
        ["granted", "refused", "given_up"].map(|outcome| {
            let labels = [("outcome", outcome), ("scope", scope)];
            shown.get("rcmgr_waits_ended_total", &labels).unwrap()
        })
    };
    assert_eq!(ended("peer"), [1.0, 1.0, 1.0]);
    assert_eq!(ended("system"), [0.0, 1.0, 0.0]);
    // 2 s, and twice 0.5 s.
    let seconds = |scope| shown.get("rcmgr_wait_seconds_total", &[("scope", scope)]);
    assert_eq!([seconds("peer"), seconds("system")], [Some(3.0), Some(0.5)]);
    assert_eq!(shown.values("rcmgr_waiting", "scope").len(), 0);
    // A wait is no refusal. The request that the full queue turned away is one.
    let refused = [("dir", ""), ("resource", "memory"), ("scope", "peer")];
    assert_eq!(
        shown.get("libp2p_rcmgr_blocked_resources", &refused),
        Some(1.0)
    );
    drop((granted, connection));
}

#[tokio::test]
async fn the_live_view_lists_the_queues_and_a_scope_has_its_own() {
    let case = Case::new(|limits| {
        limits.peer_default.memory = (64 * KIB).into();
        limits.peer_default.streams_inbound = 1.into();
    });
    let router = view(&case.manager);
    let before = json(&router, "/rcmgr.json").await;
    assert_eq!(before["waiting"], object!([]));
    assert_eq!(before["wait_totals"]["begun"], 0);

    let a = case.manager.view_peer(&peer("a"));
    let held = a.reserve(64 * KIB, Priority::Always).unwrap();
    let stream = case.manager.open_stream(&peer("b"), IN).unwrap();
    let mut memory = [1, 2].map(|size| a.reserve_when_available(size * KIB, Priority::Medium));
    let span = a.begin_span().unwrap();
    let mut of_span = span.reserve_when_available(4 * KIB, Priority::Medium);
    assert!(poll(&mut memory[0]).is_pending() && poll(&mut memory[1]).is_pending());
    case.pass(250);
    let mut next = case.manager.open_stream_when_available(&peer("b"), IN);
    assert!(poll(&mut next).is_pending() && poll(&mut of_span).is_pending());
    case.pass(1000);

    let page = json(&router, "/rcmgr.json?scope=peer:a").await;
    let of_a = object!({"scope": "peer:a", "class": "peer", "resource": "memory",
        "requests": 3, "amount": 7168, "longest_seconds": 1.25});
    let of_b = object!({"scope": "peer:b", "class": "peer", "resource": "streams-inbound",
        "requests": 1, "amount": 1, "longest_seconds": 1.0});
    assert_eq!(page["waiting"], object!([of_a, of_b]));
    assert_eq!(
        (&page["waiting_queues"], &page["waiting_requests"]),
        (&object!(2), &object!(4))
    );
    assert_eq!(page["scope"]["waiting"], object!([of_a]));
    let system = json(&router, "/rcmgr.json?scope=system").await;
    assert_eq!(system["scope"]["waiting"], object!([]));

    drop((held, stream));
    assert!(poll(&mut next).is_ready());
    drop((memory, of_span));
    let after = json(&router, "/rcmgr.json").await;
    assert_eq!(after["waiting"], object!([]));
    let totals = object!({"begun": 4, "granted": 1, "refused": 0, "given_up": 3,
        "waited_seconds": 1.25 + 1.25 + 1.0 + 1.0});
    assert_eq!(after["wait_totals"], totals);
}

#[tokio::test]
async fn limits_over_http_set_how_many_may_wait() {
    let case = Case::new(|limits| limits.system.memory = 100.into());
    let router = http::limits_router(case.manager.clone(), "secret");
    let set = async |file: &str| {
        let response = send(&router, put(Some("Bearer secret"), TOML, file.to_owned())).await;
        response.status()
    };
    let system = case.manager.view_system();
    let held = system.reserve(100_u64, Priority::Always).unwrap();
    let wait = || system.reserve_when_available(10_u64, Priority::Always);
    for most in [0, 1, 3] {
        assert_eq!(
            set(&format!("Waiters = {most}\n")).await,
            StatusCode::NO_CONTENT
        );
        let mut waiting: Vec<_> = (0..most).map(|_| wait()).collect();
        assert!(waiting.iter_mut().all(|one| poll(one).is_pending()));
        let Poll::Ready(Err(Error::QueueFull(full))) = poll(&mut wait()) else {
            panic!("the queue is full");
        };
        assert_eq!(full.waiting, most);
    }
    // What a file leaves out is as at the start: unlimited here.
    assert_eq!(
        set("[System]\nMemory = 100\n").await,
        StatusCode::NO_CONTENT
    );
    let mut waiting: Vec<_> = (0..2000).map(|_| wait()).collect();
    assert!(waiting.iter_mut().all(|one| poll(one).is_pending()));
    let in_a_table = set("[System]\nWaiters = 5\n").await;
    assert_eq!(in_a_table, StatusCode::BAD_REQUEST);
    drop(held);
}

#[tokio::test]
async fn a_page_lists_at_most_twenty_queues_and_counts_all() {
    let case = Case::new(|limits| limits.peer_default.memory = 1.into());
    let peers: Vec<_> = (0..30)
        .map(|number| case.manager.view_peer(&peer(&format!("p{number:02}"))))
        .collect();
    let held: Vec<_> = peers
        .iter()
        .map(|peer| peer.reserve(1_u64, Priority::Always).unwrap())
        .collect();
    let mut waiting: Vec<_> = peers
        .iter()
        .map(|peer| peer.reserve_when_available(1_u64, Priority::Always))
        .collect();
    for one in &mut waiting {
        assert!(poll(one).is_pending());
        case.pass(1);
    }
    let page = json(&view(&case.manager), "/rcmgr.json").await;
    let listed = page["waiting"].as_array().unwrap();
    let names: Vec<_> = listed.iter().map(|queue| &queue["scope"]).collect();
    let first: Vec<_> = (0..20)
        .map(|number| Value::from(format!("peer:p{number:02}")))
        .collect();
    assert_eq!(names, first.iter().collect::<Vec<_>>());
    assert_eq!(page["waiting_queues"], 30);
    drop(held);
}
