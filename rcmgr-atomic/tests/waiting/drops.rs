//! A future may be dropped at any point: everything is given back, and the next request has its turn.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use rcmgr_atomic::{
    CanWait, Connection, Direction, Endpoint, Limits, Manager, Priority, ReserveWhenAvailable,
    Result, Stream, UsesFd,
};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_ok};

use super::support::{nothing_is_left, peer, with_limits};

/// A request of any kind. Its result keeps what was granted.
type Request = Pin<Box<dyn Future<Output = Result<Box<dyn Any + Send>>> + Send>>;

/// A manager with room for one inbound connection and stream and for 100 bytes, all of it taken. The
/// room becomes free in two steps: after the first a request gets further, after the second it is
/// granted.
struct Taken {
    manager: Manager,
    connection: Option<Connection>,
    stream: Option<Stream>,
    /// The first step releases the first of them.
    memory: Vec<Box<dyn Any + Send>>,
    /// A connection, a stream and a peer that ask.
    asking: Arc<Connection>,
    asking_stream: Arc<Stream>,
}

impl Taken {
    fn new() -> Self {
        let manager = with_limits(|limits: &mut Limits| {
            limits.system.memory = 100.into();
            limits.service_default = None;
            for limit in [&mut limits.system, &mut limits.transient] {
                limit.conns_inbound = 1.into();
                limit.streams_inbound = 1.into();
            }
        });
        let open = |direction| manager.open_connection(direction, UsesFd::No, Endpoint::None);
        let connection = open(Direction::Inbound).unwrap();
        let asking = open(Direction::Outbound).unwrap();
        asking.set_peer(&peer("a")).unwrap();
        let stream = manager.open_stream(&peer("b"), Direction::Inbound).unwrap();
        let asking_stream = manager
            .open_stream(&peer("a"), Direction::Outbound)
            .unwrap();
        let system = Arc::new(manager.view_system());
        let hold = || {
            let held = rcmgr_atomic::MemoryGuard::new(system.clone(), 50, Priority::Always);
            Box::new(held.unwrap()) as Box<dyn Any + Send>
        };
        Self {
            memory: vec![hold(), hold()],
            connection: Some(connection),
            stream: Some(stream),
            asking: Arc::new(asking),
            asking_stream: Arc::new(asking_stream),
            manager,
        }
    }

    /// Connections and streams are in transient no longer, and half of the memory is free.
    fn first_step(&mut self) {
        self.connection
            .iter()
            .for_each(|it| it.set_peer(&peer("b")).unwrap());
        self.stream
            .iter()
            .for_each(|it| it.set_protocol("/a").unwrap());
        self.memory.pop();
    }

    fn second_step(&mut self) {
        self.connection = None;
        self.stream = None;
        self.memory.clear();
    }

    /// The kinds of requests, with the name of the handle.
    fn requests(&self) -> Vec<(&'static str, Request)> {
        let (manager, asking) = (&self.manager, &self.asking);
        let inbound = Direction::Inbound;
        let opening = manager.open_connection_when_available(inbound, UsesFd::Yes, Endpoint::None);
        let with_peer = manager.open_stream_when_available(&peer("c"), inbound);
        let through = asking.open_stream_when_available(inbound);
        let outer = asking.begin_span().unwrap();
        let around = asking.begin_span().unwrap();
        let inner = memory(Arc::new(around.begin_span().unwrap()));
        // The span around it lives as long as the request and what is granted.
        let inner = kept(async move { inner.await.map(|granted| (granted, around)) });
        let of_system = manager.view_system().begin_span().unwrap();
        vec![
            ("a connection", memory(asking.clone())),
            ("a stream", memory(self.asking_stream.clone())),
            ("a span", memory(Arc::new(outer))),
            ("a span in a span", inner),
            ("a span of system", memory(Arc::new(of_system))),
            ("system", memory(Arc::new(manager.view_system()))),
            ("a peer", memory(Arc::new(manager.view_peer(&peer("c"))))),
            ("a protocol", memory(Arc::new(manager.view_protocol("/c")))),
            ("a service", memory(Arc::new(manager.view_service("dht")))),
            (
                "a service span",
                memory(Arc::new(manager.open_service("x").unwrap())),
            ),
            ("a new connection", kept(opening)),
            ("a new stream", kept(with_peer)),
            ("a new stream through a connection", kept(through)),
        ]
    }
}

fn memory<S: CanWait + Send + Sync + 'static>(scope: Arc<S>) -> Request {
    kept(ReserveWhenAvailable::new(scope, 60, Priority::Always))
}

fn kept<T: Send + 'static>(request: impl Future<Output = Result<T>> + Send + 'static) -> Request {
    Box::pin(async move {
        request
            .await
            .map(|granted| Box::new(granted) as Box<dyn Any + Send>)
    })
}

/// Where a future is dropped.
const POINTS: usize = 7;

/// Brings a request to a point, and drops it there.
fn drop_at(
    point: usize,
    taken: &mut Taken,
    mut request: Spawn<Request>,
    next: &mut Spawn<Request>,
) {
    let mut steps = 0;
    if point > 0 {
        assert_pending!(request.poll());
    }
    assert_pending!(next.poll());
    if point > 1 {
        // Not woken.
        assert_pending!(request.poll());
    }
    if point > 2 {
        taken.first_step();
        steps = 1;
        assert!(request.is_woken());
    }
    if point > 3 {
        assert_pending!(request.poll());
    }
    if point > 4 {
        taken.second_step();
        steps = 2;
        assert!(
            request.is_woken(),
            "it is woken, and dropped before it is polled"
        );
    }
    if point > 5 {
        // What was granted is dropped at once.
        drop(assert_ready_ok!(request.poll()));
    }
    drop(request);
    if steps < 1 {
        taken.first_step();
        if next.is_woken() {
            assert_pending!(next.poll());
        }
    }
    if steps < 2 {
        taken.second_step();
    }
}

#[test]
fn a_future_that_is_dropped_at_any_poll_leaves_nothing_behind_and_lets_the_next_go_on() {
    let kinds = Taken::new().requests().len();
    for kind in 0..kinds {
        for point in 0..POINTS {
            let mut taken = Taken::new();
            let (name, request) = taken.requests().swap_remove(kind);
            let (_, next) = taken.requests().swap_remove(kind);
            let mut next = spawn(next);
            drop_at(point, &mut taken, spawn(request), &mut next);
            assert!(next.is_woken(), "{name}, dropped at {point}");
            drop(assert_ready_ok!(next.poll()));
            drop(next);
            let manager = taken.manager.clone();
            drop(taken);
            nothing_is_left(&manager);
            assert!(manager.peers().is_empty() && manager.protocols().is_empty());
        }
    }
}

/// The next request fits beside what is held. Nothing is released when the first gives up.
#[test]
fn a_large_request_that_gives_up_wakes_a_small_one_behind_it_at_once() {
    let manager = super::support::manager();
    let system = manager.view_system();
    let held = super::support::hold(&system, 80);
    let mut large = super::support::wait(&system, 90);
    let mut small: Vec<_> = (0..2).map(|_| super::support::wait(&system, 10)).collect();
    assert_pending!(large.poll());
    for small in &mut small {
        assert_pending!(small.poll());
    }
    drop(large);
    assert!(small[0].is_woken() && !small[1].is_woken());
    let first = assert_ready_ok!(small[0].poll());
    assert!(small[1].is_woken(), "there is room for both");
    drop(assert_ready_ok!(small[1].poll()));
    drop((first, held));
    nothing_is_left(&manager);
}

/// What `timeout` does: it polls the request first, then the timer.
#[test]
fn a_grant_that_meets_a_timeout_is_neither_lost_nor_made_twice() {
    for polled_first in [true, false] {
        let manager = super::support::manager();
        let system = manager.view_system();
        let held = super::support::hold(&system, 100);
        let mut timed_out = super::support::wait(&system, 70);
        let mut next = super::support::wait(&system, 70);
        assert_pending!(timed_out.poll());
        assert_pending!(next.poll());
        drop(held);
        assert!(timed_out.is_woken());
        // The timer is over at the same time.
        let granted = polled_first.then(|| assert_ready_ok!(timed_out.poll()));
        drop(timed_out);
        assert_eq!(system.stat().memory, if polled_first { 70 } else { 0 });
        assert!(next.is_woken());
        if let Some(granted) = granted {
            assert_pending!(next.poll());
            drop(granted);
            assert!(next.is_woken());
        }
        let room = assert_ready_ok!(next.poll());
        assert_eq!(system.stat().memory, 70);
        drop(room);
        nothing_is_left(&manager);
    }
}
