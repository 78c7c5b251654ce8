//! Code of the user that waiting calls: wakers, clocks, recorders. Where it panics, everything stays
//! consistent. What a recorder gets.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use rcmgr_atomic::record::{Record, Recorder};
use rcmgr_atomic::{
    Builder, Clock, Direction, Endpoint, Error, Limits, Manager, Priority, Scope, UsesFd,
};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};

use super::support::{hold, is_closed, nothing_is_left, peer, wait};

/// Counts calls, and panics at one of them; at each, if that is number zero.
#[derive(Debug, Default)]
struct Fuse {
    calls: AtomicU64,
    at: u64,
}

impl Fuse {
    fn at(at: u64) -> Arc<Self> {
        let calls = AtomicU64::new(0);
        Arc::new(Self { calls, at })
    }

    fn call(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if (self.at == 0 || self.at == call) && !thread::panicking() {
            // Without a report.
            resume_unwind(Box::new(call));
        }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Recorder for Fuse {
    fn record(&self, _: Record) {
        self.call();
    }
}

impl Clock for Fuse {
    fn now(&self) -> Duration {
        self.call();
        Duration::ZERO
    }
}

/// Panics when it is woken, or when it is dropped.
struct Bomb {
    in_wake: Arc<Fuse>,
    in_drop: Arc<Fuse>,
}

impl Bomb {
    fn waker(in_wake: &Arc<Fuse>, in_drop: &Arc<Fuse>) -> Waker {
        let (in_wake, in_drop) = (in_wake.clone(), in_drop.clone());
        Arc::new(Self { in_wake, in_drop }).into()
    }
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        self.in_wake.call();
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.in_drop.call();
    }
}

/// Polls with a waker that only the engine holds afterwards.
fn poll_with<F: Future + Unpin>(future: &mut F, waker: Waker) -> Poll<F::Output> {
    let polled = Pin::new(future).poll(&mut Context::from_waker(&waker));
    // The engine has a clone of it: this drop is not the last.
    drop(waker);
    polled
}

const NEVER: u64 = u64::MAX;

#[test]
fn a_waker_that_panics_when_it_is_woken_stops_neither_a_release_nor_the_next_request() {
    let manager = super::support::manager();
    let system = manager.view_system();
    let held = hold(&system, 100);
    let (in_wake, in_drop) = (Fuse::at(0), Fuse::at(NEVER));
    let mut first = system.reserve_when_available(80_u64, Priority::Always);
    let mut next = wait(&system, 80);
    assert!(poll_with(&mut first, Bomb::waker(&in_wake, &in_drop)).is_pending());
    assert_pending!(next.poll());
    drop(held);
    assert_eq!(in_wake.calls(), 1);
    assert!(system.stat().is_zero());
    // Its task never runs, and is dropped.
    drop(first);
    assert!(next.is_woken());
    drop(assert_ready_ok!(next.poll()));
    // All that wait are woken although the first panics.
    let held = hold(&system, 100);
    let mut first = system.reserve_when_available(80_u64, Priority::Always);
    assert!(poll_with(&mut first, Bomb::waker(&in_wake, &in_drop)).is_pending());
    let mut next = wait(&system, 80);
    assert_pending!(next.poll());
    manager.close();
    assert_eq!(in_wake.calls(), 2);
    assert!(next.is_woken());
    assert!(is_closed(&assert_ready_err!(next.poll())));
    drop((first, held));
    nothing_is_left(&manager);
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_costs_no_request_its_turn() {
    let manager = super::support::manager();
    let system = manager.view_system();
    let (in_wake, in_drop) = (Fuse::at(NEVER), Fuse::at(0));
    let bomb = || Bomb::waker(&in_wake, &in_drop);
    let held = hold(&system, 30);
    let mut first = system.reserve_when_available(80_u64, Priority::Always);
    let mut next = wait(&system, 10);
    assert!(poll_with(&mut first, bomb()).is_pending());
    assert_pending!(next.poll());
    // Another waker takes its place.
    assert!(poll_with(&mut first, bomb()).is_pending());
    assert_eq!(in_drop.calls(), 1);
    // The request is dropped with its waker.
    drop(first);
    assert_eq!(in_drop.calls(), 2);
    assert!(next.is_woken());
    let _small = assert_ready_ok!(next.poll());
    // It is woken, and granted.
    let mut first = system.reserve_when_available(80_u64, Priority::Always);
    assert!(poll_with(&mut first, bomb()).is_pending());
    drop(held);
    assert_eq!(in_drop.calls(), 3);
    let Poll::Ready(granted) = poll_with(&mut first, Waker::noop().clone()) else {
        panic!("there is room")
    };
    drop(granted.unwrap());
    assert!(manager.waiting().is_empty());
}

/// Waits that are granted, moved, refused and given up.
fn scenario(builder: impl FnOnce() -> Builder) {
    let mut limits = Limits::unlimited();
    limits.system.memory = 100.into();
    limits.conn.memory = 60.into();
    limits.system.conns_inbound = 1.into();
    limits.peer_default.streams = 1.into();
    let build = || builder().limits(limits.clone()).build().unwrap();
    // A clock may panic here: then nothing was made.
    let Ok(manager) = catch_unwind(AssertUnwindSafe(build)) else {
        return;
    };
    let system = manager.view_system();
    let open = |direction| manager.open_connection(direction, UsesFd::No, Endpoint::None);
    let connection = open(Direction::Inbound).unwrap();
    connection.set_peer(&peer("a")).unwrap();
    let stream = connection.open_stream(Direction::Inbound).unwrap();
    let of_connection = connection.reserve(20_u64, Priority::Always).unwrap();
    let held = hold(&system, 80);

    let mut moves = spawn(connection.reserve_when_available(50_u64, Priority::Always));
    let span = connection.begin_span().unwrap();
    let mut of_span = spawn(span.reserve_when_available(10_u64, Priority::Always));
    let mut gives_up = wait(&system, 50);
    let mut larger = wait(&system, 101);
    let mut second = spawn(manager.open_connection_when_available(
        Direction::Inbound,
        UsesFd::No,
        Endpoint::None,
    ));
    let mut next = spawn(connection.open_stream_when_available(Direction::Inbound));
    assert_pending!(moves.poll());
    assert_pending!(of_span.poll());
    assert_pending!(gives_up.poll());
    assert!(matches!(
        assert_ready_err!(larger.poll()),
        Error::LimitExceeded(_)
    ));
    assert_pending!(second.poll());
    assert_pending!(next.poll());
    assert_eq!(manager.waiting().len(), 4);

    drop(of_connection);
    assert!(moves.is_woken());
    assert_pending!(moves.poll());
    drop(gives_up);
    drop(held);
    let moved = assert_ready_ok!(moves.poll());
    let of_span = assert_ready_ok!(of_span.poll());
    assert_eq!(system.stat().memory, 60);
    drop((moved, of_span));
    drop(stream);
    drop(assert_ready_ok!(next.poll()));
    // The limit is lowered below the request of the connection that waits.
    limits.system.conns_inbound = 0.into();
    manager.set_limits(limits);
    assert!(second.is_woken());
    assert!(matches!(
        assert_ready_err!(second.poll()),
        Error::LimitExceeded(_)
    ));
    span.done();
    connection.done();
    nothing_is_left(&manager);
    drop(next);
    assert!(manager.peers().is_empty());
}

#[test]
fn a_recorder_that_panics_at_any_call_changes_no_wait() {
    let run = |at| {
        let fuse = Fuse::at(at);
        scenario(|| Manager::builder().recorder(fuse.clone()));
        fuse.calls()
    };
    let calls = run(0);
    assert!(calls > 10, "only {calls} calls");
    for at in 1..=calls {
        assert_eq!(run(at), calls);
    }
}

#[test]
fn a_clock_that_panics_at_any_call_changes_no_wait() {
    let calls = {
        let fuse = Fuse::at(NEVER);
        scenario(|| Manager::builder().clock(fuse.clone()));
        fuse.calls()
    };
    assert!(calls > 5, "only {calls} calls");
    for at in 1..=calls {
        scenario(|| Manager::builder().clock(Fuse::at(at)));
    }
}

/// What is recorded, in short.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<String>>);

impl Recorder for Seen {
    fn record(&self, record: Record) {
        let subject = record.subject().map(|name| name.to_string());
        let refused = if record.refusal().is_some() {
            " refused"
        } else {
            ""
        };
        let operation = record.operation();
        let said = format!("{operation:?} {}{refused}", subject.unwrap_or_default());
        self.0.lock().unwrap().push(said);
    }
}

impl Seen {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_recorder_gets_one_record_of_a_grant_or_of_a_final_refusal_and_none_of_the_wait() {
    let seen = Arc::new(Seen::default());
    let mut limits = Limits::unlimited();
    limits.system.memory = 100.into();
    limits.system.conns = 1.into();
    let builder = Manager::builder().limits(limits.clone());
    let manager = builder.recorder(seen.clone()).build().unwrap();
    let open =
        || manager.open_connection_when_available(Direction::Inbound, UsesFd::No, Endpoint::None);
    seen.take();
    let first = assert_ready_ok!(spawn(open()).poll());
    assert_eq!(seen.take(), ["Open conn-1"]);
    let held = first.reserve(90_u64, Priority::Always).unwrap();
    let span = first.begin_span().unwrap();
    seen.take();
    let mut memory = spawn(first.reserve_when_available(50_u64, Priority::Always));
    let mut of_span = spawn(span.reserve_when_available(50_u64, Priority::Always));
    let mut second = spawn(open());
    for _ in 0..5 {
        assert_pending!(memory.poll());
        assert_pending!(of_span.poll());
        assert_pending!(second.poll());
    }
    assert_eq!(seen.take(), Vec::<String>::new());
    drop(held);
    seen.take();
    let room = assert_ready_ok!(memory.poll());
    assert_eq!(seen.take(), ["Reserve conn-1"]);
    let room_of_span = assert_ready_ok!(of_span.poll());
    assert_eq!(seen.take(), ["Reserve conn-1", "Reserve conn-1.span-1"]);
    drop((room, room_of_span));
    seen.take();
    // The limits are lowered below both requests.
    let held: Scope = manager.view_system();
    let held = hold(&held, 100);
    let mut memory = spawn(first.reserve_when_available(50_u64, Priority::Always));
    assert_pending!(memory.poll());
    limits.system.memory = 10.into();
    limits.system.conns = 0.into();
    manager.set_limits(limits);
    seen.take();
    assert_ready_err!(memory.poll());
    assert_eq!(seen.take(), ["Reserve conn-1 refused"]);
    assert_ready_err!(second.poll());
    assert_eq!(seen.take(), ["Open conn-2 refused"]);
    drop(held);
    first.done();
    seen.take();
    // One that gives up leaves no record.
    drop(spawn(open()));
    assert_eq!(seen.take(), Vec::<String>::new());
    nothing_is_left(&manager);
}
