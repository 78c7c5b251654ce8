//! Real threads that wait: random requests, grants, drops, releases, changes of limits and closes. No
//! scope is ever seen over its limit, each request that waits is served in the end, and at the end
//! everything is exactly zero.
//!
//! `RCMGR_STRESS_OPS` says how many operations a test makes. A failure names the seed, which
//! `RCMGR_STRESS_SEED` takes.

use std::env;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rcmgr_atomic::{
    CanWait, Connection, Direction, Endpoint, Error, Limit, Limits, Manager, MemoryGuard, PeerId,
    Priority, ReserveWhenAvailable, Result, Scope, ScopeClass, Stream, UsesFd,
};

/// A request that waits longer than this is stuck: all that others hold is released much sooner.
const STUCK_AFTER: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq)]
enum Reload {
    Never,
    AllTheTime,
}

#[test]
fn two_threads_that_wait_are_all_served() {
    stress(2, Reload::Never, 1);
}

#[test]
fn eight_threads_that_wait_are_all_served() {
    stress(8, Reload::Never, 1);
}

#[test]
fn eight_threads_that_wait_are_all_served_where_there_is_credit() {
    stress(8, Reload::Never, 64);
}

#[test]
fn eight_threads_that_wait_are_all_served_while_limits_change() {
    stress(8, Reload::AllTheTime, 1);
}

#[test]
fn eight_threads_that_wait_are_all_served_with_credit_while_limits_change() {
    stress(8, Reload::AllTheTime, 64);
}

/// The limits. With `room` above one there is credit.
fn limits(room: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.memory = (4_000 * room).into();
    limits.transient.memory = (2_500 * room).into();
    limits.peer_default.memory = (2_000 * room).into();
    limits.protocol_default.memory = (2_500 * room).into();
    limits.service_peer_default.memory = (1_500 * room).into();
    limits.stream.memory = (1_200 * room).into();
    limits.system.conns = 6.into();
    limits.system.fd = 4.into();
    limits.transient.conns_inbound = 3.into();
    limits.system.streams = 12.into();
    limits.peer_default.streams_inbound = 3.into();
    limits.service_default = Some(Limit::UNLIMITED);
    limits
}

fn from_env(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} must be a number, but it is {value:?}")))
}

/// Wakes the thread that waits.
struct Unpark {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn waker() -> (Arc<Unpark>, Waker) {
    let unpark = Arc::new(Unpark {
        thread: thread::current(),
        is_woken: AtomicBool::new(false),
    });
    (unpark.clone(), unpark.into())
}

/// What the threads of a test share.
struct Shared {
    manager: Manager,
    peers: Vec<PeerId>,
    room: u64,
    /// Streams and connections that several threads use.
    streams: Vec<Stream>,
    connections: Vec<Connection>,
    views: Vec<Scope>,
    granted: AtomicU64,
    refused: AtomicU64,
    given_up: AtomicU64,
    finished: AtomicBool,
}

impl Shared {
    fn new(room: u64) -> Self {
        let builder = Manager::builder().limits(limits(room)).credit_after(1);
        let manager = builder.build().unwrap();
        let peers: Vec<PeerId> = ["a", "b"].map(|peer| peer.parse().unwrap()).to_vec();
        let stream = |peer: &PeerId, steps: u8| {
            let stream = manager.open_stream(peer, Direction::Outbound).unwrap();
            if steps > 0 {
                stream.set_protocol("/a").unwrap();
            }
            if steps > 1 {
                stream.set_service("dht").unwrap();
            }
            stream
        };
        let streams = vec![
            stream(&peers[0], 0),
            stream(&peers[0], 2),
            stream(&peers[1], 1),
        ];
        let connection = manager
            .open_connection(Direction::Outbound, UsesFd::No, Endpoint::None)
            .unwrap();
        connection.set_peer(&peers[0]).unwrap();
        let views = vec![
            manager.view_system(),
            manager.view_transient(),
            manager.view_peer(&peers[1]),
            manager.view_protocol("/a"),
            manager.view_service("dht"),
        ];
        Self {
            manager,
            peers,
            room,
            streams,
            connections: vec![connection],
            views,
            granted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        }
    }

    /// Waits for a request, or gives up after some polls. A request that is not served in time fails
    /// the test, with the state of the queues.
    fn wait<T>(&self, rng: &mut Rng, request: impl Future<Output = Result<T>>) -> Option<T> {
        let mut request = pin!(request);
        // Some give up: without a poll, after the first, or when they are woken.
        let most_polls = if rng.u8(..5) == 0 {
            rng.u32(..4)
        } else {
            u32::MAX
        };
        let gives_up_unwoken = rng.bool();
        let mut polls = 0;
        let begun = Instant::now();
        loop {
            if polls >= most_polls {
                self.given_up.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            polls += 1;
            // Now and then with another waker than before.
            let (unpark, waker) = waker();
            if let Poll::Ready(result) = poll(request.as_mut(), &waker) {
                return self.ended(result);
            }
            if polls >= most_polls && gives_up_unwoken {
                continue;
            }
            self.until_woken(&unpark, begun);
        }
    }

    /// Parks until the request of this thread is woken. Another thread may just be about to do it.
    fn until_woken(&self, unpark: &Unpark, begun: Instant) {
        while !unpark.is_woken.load(Ordering::SeqCst) {
            thread::park_timeout(Duration::from_millis(500));
            assert!(
                begun.elapsed() < STUCK_AFTER,
                "a request is stuck: {:#?}\n{:#?}",
                self.manager.waiting(),
                self.manager.scopes()
            );
        }
    }

    fn ended<T>(&self, result: Result<T>) -> Option<T> {
        let count = if result.is_ok() {
            &self.granted
        } else {
            &self.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(granted) => Some(granted),
            Err(Error::LimitExceeded(_) | Error::ScopeClosed { .. } | Error::QueueFull(_)) => None,
            Err(why) => panic!("{why}"),
        }
    }

    fn memory(&self, rng: &mut Rng) -> (u64, Priority) {
        let priorities = [
            Priority::Always,
            Priority::Always,
            Priority::High,
            Priority::Medium,
        ];
        let size = match rng.u8(..8) {
            0 => rng.u64(..2_200) * self.room,
            // Small enough for credit, where there is some.
            1..4 => rng.u64(..1_000),
            _ => rng.u64(..1_000) * self.room,
        };
        (size, priorities[rng.usize(..4)])
    }

    /// Waits for memory, holds it for a moment, and releases it.
    fn hold<S: CanWait>(&self, rng: &mut Rng, scope: &S) {
        let (size, priority) = self.memory(rng);
        if rng.u8(..4) == 0 {
            let reserved = MemoryGuard::new(scope, size, priority);
            return rest(rng, reserved);
        }
        let request = ReserveWhenAvailable::new(scope, size, priority);
        let granted = self.wait(rng, request);
        rest(rng, granted);
    }

    fn one(&self, rng: &mut Rng) {
        let peer = &self.peers[rng.usize(..self.peers.len())];
        let stream = &self.streams[rng.usize(..self.streams.len())];
        let view = &self.views[rng.usize(..self.views.len())];
        match rng.u8(..20) {
            0..5 => self.hold(rng, stream),
            5..9 => self.hold(rng, view),
            9 => self.hold(rng, &self.connections[0]),
            10 | 11 => {
                let outer = stream.begin_span().unwrap();
                let inner = outer.begin_span().unwrap();
                self.hold(rng, &inner);
                self.hold(rng, &outer);
            }
            12..14 => {
                let direction = Direction::ALL[rng.usize(..2)];
                let request = self.manager.open_connection_when_available(
                    direction,
                    UsesFd::from(rng.bool()),
                    Endpoint::None,
                );
                if let Some(connection) = self.wait(rng, request) {
                    if rng.bool() {
                        let _ = connection.set_peer(peer);
                    }
                    rest(rng, connection);
                }
            }
            14..16 => {
                let direction = Direction::ALL[rng.usize(..2)];
                let request = self.manager.open_stream_when_available(peer, direction);
                if let Some(stream) = self.wait(rng, request) {
                    if rng.bool() {
                        let _ = stream.set_protocol("/a");
                    }
                    rest(rng, stream);
                }
            }
            16 => {
                let request = self.connections[0].open_stream_when_available(Direction::Inbound);
                let stream = self.wait(rng, request);
                rest(rng, stream);
            }
            17 => rest(rng, self.manager.open_stream(peer, Direction::Inbound)),
            18 => self.close_while_waiting(rng, peer),
            _ => {
                let (inbound, uses_fd) = (Direction::Inbound, UsesFd::Yes);
                rest(
                    rng,
                    self.manager
                        .open_connection(inbound, uses_fd, Endpoint::None),
                );
            }
        }
    }

    /// Closes a stream whose request may wait.
    fn close_while_waiting(&self, rng: &mut Rng, peer: &PeerId) {
        let Ok(stream) = self.manager.open_stream(peer, Direction::Outbound) else {
            return;
        };
        let (size, priority) = self.memory(rng);
        let mut request = pin!(stream.reserve_when_available(size, priority));
        let (unpark, waker) = waker();
        if let Poll::Ready(result) = poll(request.as_mut(), &waker) {
            drop(self.ended(result));
            return;
        }
        stream.done();
        self.until_woken(&unpark, Instant::now());
        if rng.bool() {
            match poll(request.as_mut(), &waker) {
                Poll::Ready(Err(Error::ScopeClosed { .. })) => {}
                other => panic!("{other:?}"),
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
        } else {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks at every scope again and again, and changes limits if the test asks for that.
    fn watch(&self, reload: Reload) -> u64 {
        let mut rounds = 0;
        while !self.finished.load(Ordering::Acquire) {
            if reload == Reload::AllTheTime {
                let mut limits = limits(self.room);
                limits.system.memory = ((2_500 + rounds % 7 * 500) * self.room).into();
                limits.peer_default.streams_inbound = (1 + rounds % 3).into();
                limits.system.conns = (3 + rounds % 4).into();
                limits.waiters = if rounds % 5 == 0 {
                    2.into()
                } else {
                    1_024.into()
                };
                self.manager.set_limits(limits);
                self.views[2].set_limit(Limit {
                    memory: ((1_600 + rounds % 2 * 900) * self.room).into(),
                    ..Limit::UNLIMITED
                });
                self.views[2].reset_limit();
                // Leave time for others between two changes: each wakes all.
                thread::sleep(Duration::from_micros(200));
            }
            for scope in self.manager.scopes() {
                let over = scope.limit.exceeded_by(&scope.stat);
                assert!(
                    reload == Reload::AllTheTime || over.is_none(),
                    "{} is over its limit: {}",
                    scope.id,
                    scope.stat
                );
            }
            rounds += 1;
            thread::yield_now();
        }
        rounds
    }
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Holds something for a moment.
fn rest<T>(rng: &mut Rng, held: T) {
    match rng.u8(..4) {
        // Others run meanwhile, and wait for it.
        0 | 1 => (0..rng.u8(1..4)).for_each(|_| thread::yield_now()),
        2 => (0..rng.u32(..200)).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
    drop(held);
}

fn stress(threads: u64, reload: Reload, room: u64) {
    let ops = from_env("RCMGR_STRESS_OPS").unwrap_or(20_000);
    let seed = from_env("RCMGR_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{threads} threads, {ops} operations, RCMGR_STRESS_SEED={seed}");
    let shared = Shared::new(room);
    let rounds = thread::scope(|scope| {
        let watcher = scope.spawn(|| shared.watch(reload));
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (shared, mut rng) = (&shared, Rng::with_seed(seed.wrapping_add(thread)));
                scope.spawn(move || (0..ops / threads).for_each(|_| shared.one(&mut rng)))
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        shared.finished.store(true, Ordering::Release);
        for result in results {
            result.expect("no worker fails");
        }
        watcher.join().expect("no limit was exceeded")
    });
    close_all(&shared, threads);
    end(shared, rounds);
}

/// Closing the manager ends all waits at once.
fn close_all(shared: &Shared, threads: u64) {
    shared.manager.set_limits(limits(shared.room));
    let system = &shared.views[0];
    let held = system
        .reserve(4_000 * shared.room, Priority::Always)
        .unwrap();
    let waiting = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut request = pin!(system.reserve_when_available(1_u64, Priority::Always));
                let (unpark, waker) = waker();
                assert!(poll(request.as_mut(), &waker).is_pending());
                waiting.fetch_add(1, Ordering::SeqCst);
                while !unpark.is_woken.load(Ordering::SeqCst) {
                    thread::park();
                }
                match poll(request.as_mut(), &waker) {
                    Poll::Ready(Err(Error::ScopeClosed { .. })) => {}
                    other => panic!("{other:?}"),
                }
                shared.refused.fetch_add(1, Ordering::Relaxed);
            });
        }
        while waiting.load(Ordering::SeqCst) < threads {
            thread::yield_now();
        }
        shared.manager.close();
    });
    drop(held);
}

fn end(shared: Shared, rounds: u64) {
    let Shared {
        manager,
        streams,
        connections,
        views,
        granted,
        refused,
        given_up,
        ..
    } = shared;
    drop((streams, connections, views));
    assert!(manager.waiting().is_empty());
    for scope in manager.scopes() {
        assert!(scope.stat.is_zero(), "{}: {}", scope.id, scope.stat);
    }
    let stat = manager.stat();
    assert!(stat.peers.is_empty() && stat.protocols.is_empty());
    let totals = manager.wait_totals();
    let sum = |f: fn(&rcmgr_atomic::WaitTotals) -> u64| -> u64 { totals.iter().map(f).sum() };
    let begun = sum(|totals| totals.begun);
    let ended = sum(|totals| totals.granted + totals.refused + totals.given_up);
    assert_eq!(begun, ended, "each wait ends once");
    let waited = sum(|totals| totals.granted);
    let (granted, refused, given_up) = (
        granted.into_inner(),
        refused.into_inner(),
        given_up.into_inner(),
    );
    println!(
        "{begun} of the requests waited, {waited} of these were granted; of all requests that may \
         wait, {granted} were granted, {refused} refused, {given_up} given up; {rounds} snapshots"
    );
    assert!(waited > 0, "limits that are never reached show nothing");
    let over_releases: u64 = ScopeClass::ALL
        .map(|class| manager.over_releases(class))
        .iter()
        .sum();
    assert_eq!(over_releases, 0);
}
