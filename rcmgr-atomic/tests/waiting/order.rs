//! The order in which requests are served, and which tasks are woken.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use fastrand::Rng;
use rcmgr_atomic::{Direction, Limits, MemoryGuard, Priority, ReserveWhenAvailable, Scope};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};

use super::support::{hold, manager, nothing_is_left, peer, wait, wait_at, with_limits};

#[test]
fn a_hundred_equal_requests_are_served_in_the_order_in_which_they_came() {
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let manager = manager();
        let system = manager.view_system();
        let all = hold(&system, 100);
        let mut waiting: Vec<(usize, Spawn<_>)> = Vec::new();
        for number in 0..100 {
            let mut request = wait(&system, 30);
            assert_pending!(request.poll());
            waiting.push((number, request));
        }
        drop(all);
        let mut served = Vec::new();
        let mut held = VecDeque::new();
        while !waiting.is_empty() {
            // Tasks run in any order, and some are polled that were not woken.
            rng.shuffle(&mut waiting);
            let before = served.len();
            waiting.retain_mut(|(number, request)| {
                if !request.is_woken() && rng.u8(..4) > 0 {
                    return true;
                }
                let Poll::Ready(granted) = request.poll() else {
                    return true;
                };
                served.push(*number);
                held.push_back(granted.unwrap());
                false
            });
            if served.len() == before {
                drop(held.pop_front().expect("nobody waits while there is room"));
            }
        }
        assert_eq!(served, Vec::from_iter(0..100));
        held.clear();
        nothing_is_left(&manager);
    }
}

#[test]
fn a_large_request_among_a_stream_of_small_ones_is_served_after_those_that_came_before_it() {
    let manager = manager();
    let system = manager.view_system();
    let mut held: VecDeque<MemoryGuard<&Scope>> = (0..10).map(|_| hold(&system, 10)).collect();
    let mut before: VecDeque<_> = (0..7).map(|_| wait(&system, 10)).collect();
    before
        .iter_mut()
        .for_each(|small| assert_pending!(small.poll()));
    let mut large = wait(&system, 100);
    assert_pending!(large.poll());
    let mut after = Vec::new();
    let mut grants = 0;
    let granted = loop {
        // Each time something is released, more small ones come, both ways.
        held.pop_front();
        let mut small = wait(&system, 1);
        assert_pending!(small.poll());
        after.push(small);
        assert!(system.reserve_memory(1, Priority::Always).is_err());
        if let Some(mut small) = before.pop_front() {
            held.push_back(assert_ready_ok!(small.poll()));
            grants += 1;
        }
        if let Poll::Ready(granted) = large.poll() {
            break granted.unwrap();
        }
    };
    assert_eq!((grants, granted.size()), (7, 100));
    for small in &mut after {
        assert_pending!(small.poll());
    }
    drop(granted);
    for mut small in after {
        drop(assert_ready_ok!(small.poll()));
    }
    nothing_is_left(&manager);
}

#[test]
fn a_request_of_another_peer_is_not_held_up() {
    let manager = with_limits(|limits| {
        limits.peer_default.memory = 100.into();
        limits.peer_default.streams_inbound = 1.into();
    });
    let stream = |name: &str| manager.open_stream(&peer(name), Direction::Inbound);
    let (a, b) = (stream("a").unwrap(), stream("b").unwrap());
    let held = a.reserve(90_u64, Priority::Always).unwrap();
    let mut waiting = spawn(a.reserve_when_available(50_u64, Priority::Always));
    assert_pending!(waiting.poll());
    assert_eq!(manager.waiting()[0].scope.to_string(), "peer:a");
    let mut other = spawn(b.reserve_when_available(100_u64, Priority::Low));
    let larger = assert_ready_err!(other.poll());
    assert_eq!(
        larger.scope().unwrap().to_string(),
        "peer:b",
        "it may have 39 bytes"
    );
    drop(b.reserve(100_u64, Priority::Always).unwrap());
    drop(assert_ready_ok!(
        spawn(b.reserve_when_available(39_u64, Priority::Low)).poll()
    ));
    // The same for streams.
    let mut next = spawn(manager.open_stream_when_available(&peer("a"), Direction::Inbound));
    assert_pending!(next.poll());
    drop(b);
    drop(stream("b").unwrap());
    drop(held);
    drop(assert_ready_ok!(waiting.poll()));
}

#[test]
fn levels_are_served_from_the_highest_down_and_each_in_order() {
    let manager = manager();
    let system = manager.view_system();
    let all = hold(&system, 100);
    let order = [
        Priority::Low,
        Priority::Always,
        Priority::Medium,
        Priority::Low,
        Priority::High,
        Priority::Always,
    ];
    let mut waiting = order.map(|priority| wait_at(&system, 5, priority));
    waiting.iter_mut().for_each(|it| assert_pending!(it.poll()));
    drop(all);
    let mut granted = Vec::new();
    for expected in [1, 5, 4, 2, 0, 3] {
        let woken: Vec<_> = (0..6).filter(|&at| waiting[at].is_woken()).collect();
        assert_eq!(
            woken
                .iter()
                .filter(|at| !granted.contains(*at))
                .collect::<Vec<_>>(),
            [&expected]
        );
        drop(assert_ready_ok!(waiting[expected].poll()));
        granted.push(expected);
    }
    nothing_is_left(&manager);
}

#[test]
fn a_raised_limit_serves_as_many_as_it_has_room_for() {
    let manager = manager();
    let system = manager.view_system();
    let held = hold(&system, 100);
    let mut waiting: Vec<_> = (0..4).map(|_| wait(&system, 40)).collect();
    waiting.iter_mut().for_each(|it| assert_pending!(it.poll()));
    let mut limits = Limits::unlimited();
    limits.system.memory = 200.into();
    manager.set_limits(limits);
    let first: Vec<_> = waiting[..2]
        .iter_mut()
        .map(|it| assert_ready_ok!(it.poll()))
        .collect();
    assert_pending!(waiting[2].poll());
    assert_pending!(waiting[3].poll());
    drop((held, first));
    for it in &mut waiting[2..] {
        assert!(it.is_woken());
        drop(assert_ready_ok!(it.poll()));
    }
    nothing_is_left(&manager);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn poll_with<F: Future + Unpin>(future: &mut F, count: &Arc<Count>) -> Poll<F::Output> {
    let waker = Waker::from(count.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

#[test]
fn only_the_waker_of_the_last_poll_is_woken_and_once() {
    let manager = manager();
    let system = Arc::new(manager.view_system());
    let held = [hold(&system, 60), hold(&system, 40)];
    let [old, new, third] = [(); 3].map(|()| Arc::new(Count::default()));
    let mut waiting = ReserveWhenAvailable::new(system.clone(), 50, Priority::Always);
    assert!(poll_with(&mut waiting, &old).is_pending());
    assert!(poll_with(&mut waiting, &new).is_pending());
    assert_eq!(Arc::strong_count(&old), 1, "the old waker is dropped");
    // It goes on in another task, on another thread.
    let mut waiting = std::thread::scope(|scope| {
        let third = third.clone();
        let moved = scope.spawn(move || {
            assert!(poll_with(&mut waiting, &third).is_pending());
            waiting
        });
        moved.join().unwrap()
    });
    drop(held);
    assert_eq!((old.get(), new.get(), third.get()), (0, 0, 1));
    let Poll::Ready(granted) = poll_with(&mut waiting, &old) else {
        panic!("there is room")
    };
    assert_eq!(Arc::strong_count(&third), 1, "no waker stays behind");
    drop(granted.unwrap());
    drop(waiting);
    assert_eq!((old.get(), new.get(), third.get()), (0, 0, 1));
}
