//! Requests that wait, while other threads make room, give up, or change what is waited for. Each
//! model ends with two checks: every counter is exact, and no request sleeps that could end.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{
    CONNECTION, Task, connection, conserved, lending_engine, nothing_waits, peer, set_peer,
    shared_connection, stream, usage, with_queues, within,
};
use rcmgr_atomic::internals::{Engine, Leaf, NodeUser, Owner, PathKind, SpanState};
use rcmgr_atomic::{Error, Limit, Limits, Priority};

/// A limit that is high enough to have credit below it.
const LIMIT: u64 = 4096;

fn system_memory(limit: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.memory = limit.into();
    limits
}

fn engine(limits: Limits) -> Arc<Engine> {
    with_queues(loom_tests::engine(limits))
}

/// A connection that holds memory.
fn holder(engine: &Arc<Engine>, size: u64) -> Arc<Leaf> {
    let leaf = connection(engine);
    leaf.reserve(size, Priority::Always).unwrap();
    leaf
}

/// A connection with the one peer.
fn of_peer(engine: &Arc<Engine>) -> Arc<Leaf> {
    let leaf = connection(engine);
    set_peer(&leaf).unwrap();
    leaf
}

/// Checks that nothing waits, and that every node holds exactly the sum of these leaves.
fn at_rest(engine: &Engine, leaves: &[&Leaf]) {
    nothing_waits(engine);
    conserved(engine, leaves);
}

/// Fails if the thread that releases looks for requests first.
#[test]
fn memory_is_released_while_a_request_begins_to_wait() {
    within(4, || {
        let engine = engine(system_memory(1));
        let (holder, asker) = (holder(&engine, 1), connection(&engine));
        let releaser = holder.clone();
        let thread = thread::spawn(move || releaser.release(1));
        let mut task = Task::of_leaf(&asker, 1);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        at_rest(&engine, &[&holder, &asker]);
    });
}

/// Fails if the node is marked after the request was tried once more.
#[test]
fn memory_is_released_while_one_request_waits_elsewhere_and_another_begins_to_wait() {
    within(4, || {
        let mut limits = system_memory(2);
        limits.peer_default.memory = 1.into();
        let engine = engine(limits);
        let (holder, asker, of_peer) = (holder(&engine, 1), connection(&engine), of_peer(&engine));
        of_peer.reserve(1, Priority::Always).unwrap();
        let elsewhere = Task::waiting(&of_peer, 1);
        let releaser = holder.clone();
        let thread = thread::spawn(move || releaser.release(1));
        let mut task = Task::of_leaf(&asker, 1);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        assert!(elsewhere.sleeps());
        drop(elsewhere);
        nothing_waits(&engine);
        of_peer.close();
        conserved(&engine, &[&holder, &asker]);
    });
}

/// Fails if a request that leaves its queue does not wake the next.
#[test]
fn the_first_in_a_queue_gives_up_while_memory_is_released() {
    within(4, || {
        let engine = engine(system_memory(1));
        let (holder, asker) = (holder(&engine, 1), connection(&engine));
        let first = Task::waiting(&asker, 1);
        let second = Task::waiting(&asker, 1);
        let thread = thread::spawn(move || drop(first));
        holder.release(1);
        thread.join().unwrap();

        second.end().unwrap();
        at_rest(&engine, &[&holder, &asker]);
    });
}

/// Fails if the next is woken before the first has left.
#[test]
fn a_woken_request_gives_up_while_another_begins_to_wait() {
    within(4, || {
        let engine = engine(system_memory(1));
        let (holder, asker) = (holder(&engine, 1), connection(&engine));
        let first = Task::waiting(&asker, 1);
        holder.release(1);
        assert!(!first.sleeps());
        let thread = thread::spawn(move || drop(first));
        let mut second = Task::of_leaf(&asker, 1);
        second.poll();
        thread.join().unwrap();

        second.end().unwrap();
        at_rest(&engine, &[&holder, &asker]);
    });
}

/// Fails if the waker is set after the attempt.
#[test]
fn a_request_is_polled_by_another_task_while_memory_is_released() {
    within(4, || {
        let engine = engine(system_memory(1));
        let (holder, asker) = (holder(&engine, 1), connection(&engine));
        let mut task = Task::waiting(&asker, 1);
        let releaser = holder.clone();
        let thread = thread::spawn(move || releaser.release(1));
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        at_rest(&engine, &[&holder, &asker]);
    });
}

/// Fails if a request that was granted does not wake the next.
#[test]
fn two_requests_wait_while_memory_is_released_twice() {
    within(4, || {
        let engine = engine(system_memory(2));
        let (one, two) = (holder(&engine, 1), holder(&engine, 1));
        let asker = connection(&engine);
        let mut first = Task::waiting(&asker, 1);
        let second = Task::waiting(&asker, 1);
        let releaser = one.clone();
        let thread = thread::spawn(move || releaser.release(1));
        two.release(1);
        first.run();
        thread.join().unwrap();

        first.end().unwrap();
        second.end().unwrap();
        at_rest(&engine, &[&one, &two, &asker]);
    });
}

/// Fails if a request that has moved to another queue is not tried once more.
#[test]
fn memory_is_released_while_a_request_moves_to_the_queue_of_that_scope() {
    within(4, || {
        let mut limits = system_memory(2);
        limits.peer_default.memory = 1.into();
        let engine = engine(limits);
        let (asker, one, two) = (of_peer(&engine), holder(&engine, 1), connection(&engine));
        asker.reserve(1, Priority::Always).unwrap();
        // It waits for the peer, then for system.
        let mut task = Task::waiting(&asker, 1);
        asker.release(1);
        two.reserve(1, Priority::Always).unwrap();
        let releaser = one.clone();
        let thread = thread::spawn(move || releaser.release(1));
        task.run();
        thread.join().unwrap();

        task.end().unwrap();
        nothing_waits(&engine);
        asker.close();
        conserved(&engine, &[&one, &two]);
    });
}

/// Fails if the turn is not passed on when a request leaves a queue, or if a request that has moved
/// to another queue is not tried once more.
#[test]
fn two_requests_cross_on_their_way_through_two_scopes() {
    within(3, || {
        let mut limits = system_memory(4);
        limits.peer_default.memory = 3.into();
        let engine = engine(limits);
        let (with_peer, bare) = (of_peer(&engine), holder(&engine, 1));
        with_peer.reserve(3, Priority::Always).unwrap();
        // The first waits for system, the second for the peer. Then there is room for both. But the
        // second must let the first go first at system.
        let (one, two) = (connection(&engine), of_peer(&engine));
        let mut first = Task::waiting(&one, 1);
        let mut second = Task::waiting(&two, 1);
        with_peer.release(2);
        let thread = thread::spawn(move || {
            second.run();
            second
        });
        first.run();
        let second = thread.join().unwrap();

        first.end().unwrap();
        second.end().unwrap();
        nothing_waits(&engine);
        assert_eq!(usage(engine.system()), (4, 4));
        with_peer.close();
        two.close();
        conserved(&engine, &[&one, &bare]);
    });
}

/// Fails if a change of the limits wakes no request.
#[test]
fn a_limit_is_raised_while_a_request_begins_to_wait() {
    within(4, || {
        let engine = engine(system_memory(1));
        let (holder, asker) = (holder(&engine, 1), connection(&engine));
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limit = set.limit(set.system());
            limit.memory = 2.into();
            set.set_limit(set.system(), Some(limit));
        });
        let mut task = Task::of_leaf(&asker, 1);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        at_rest(&engine, &[&holder, &asker]);
    });
}

/// Fails if the thread that has opened a stock does not look for requests afterwards.
#[test]
fn a_path_gets_credit_while_a_request_begins_to_wait() {
    within(4, || {
        let engine = with_queues(lending_engine(system_memory(LIMIT), 4, 0));
        let (lender, asker) = (of_peer(&engine), connection(&engine));
        lender.reserve(1, Priority::Always).unwrap();
        let filler = lender.clone();
        let thread = thread::spawn(move || filler.reserve(1, Priority::Always).unwrap());
        // There is room, but not beside a batch of credit.
        let mut task = Task::of_leaf(&asker, LIMIT - 2);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        lender.close();
        at_rest(&engine, &[&asker]);
    });
}

/// Fails if a request that waits recalls no credit.
#[test]
fn memory_becomes_credit_while_a_request_begins_to_wait() {
    within(4, || {
        let engine = with_queues(lending_engine(system_memory(LIMIT), 4, 0));
        let (lender, asker) = (of_peer(&engine), connection(&engine));
        for _ in 0..2 {
            lender.reserve(1, Priority::Always).unwrap();
        }
        let releaser = lender.clone();
        let thread = thread::spawn(move || releaser.release(1));
        let mut task = Task::of_leaf(&asker, LIMIT - 1);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        lender.close();
        at_rest(&engine, &[&asker]);
    });
}

/// Fails if credit that was taken in vain is dropped when the stock takes nothing (`Path::put_back`).
#[test]
fn a_leaf_that_takes_credit_is_closed_while_a_request_begins_to_wait() {
    within(4, || {
        let engine = with_queues(lending_engine(system_memory(LIMIT), 4, 0));
        let (lender, taker, asker) = (of_peer(&engine), of_peer(&engine), connection(&engine));
        for _ in 0..2 {
            lender.reserve(1, Priority::Always).unwrap();
        }
        let takes = taker.clone();
        let thread = thread::spawn(move || drop(takes.reserve(1, Priority::Always)));
        taker.close();
        let mut task = Task::of_leaf(&asker, LIMIT - 2);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        lender.close();
        at_rest(&engine, &[&asker]);
    });
}

/// Fails if a thread that has given credit back does not look for requests.
#[test]
fn credit_is_recalled_by_another_thread_while_a_request_begins_to_wait() {
    within(3, || {
        let engine = with_queues(lending_engine(system_memory(LIMIT), 4, 0));
        let (lender, asker) = (of_peer(&engine), connection(&engine));
        for _ in 0..2 {
            lender.reserve(1, Priority::Always).unwrap();
        }
        let recaller = asker.clone();
        let thread = thread::spawn(move || recaller.reserve(LIMIT, Priority::Always).is_ok());
        let mut task = Task::of_leaf(&asker, LIMIT - 2);
        task.poll();
        assert!(!thread.join().unwrap(), "there is never room for that");

        task.end().unwrap();
        lender.close();
        at_rest(&engine, &[&asker]);
    });
}

/// Fails if a connection that is closed does not wake its requests, or if the fence in `enter` is
/// missing (with stale loads).
#[test]
fn a_connection_is_closed_while_a_request_of_it_begins_to_wait() {
    within(4, || {
        let engine = engine(system_memory(1));
        let (holder, asker) = (holder(&engine, 1), connection(&engine));
        let closer = asker.clone();
        let thread = thread::spawn(move || closer.close());
        let mut task = Task::of_leaf(&asker, 1);
        task.poll();
        thread.join().unwrap();

        let refused = task.end().unwrap_err();
        assert!(matches!(refused, Error::ScopeClosed { .. }), "{refused}");
        at_rest(&engine, &[&holder]);
    });
}

/// Fails if a request that has entered a queue does not look whether the manager is closed.
#[test]
fn the_manager_is_closed_while_a_request_begins_to_wait() {
    within(4, || {
        let engine = engine(system_memory(1));
        let (holder, asker) = (holder(&engine, 1), connection(&engine));
        let closer = engine.clone();
        let thread = thread::spawn(move || closer.close());
        let mut task = Task::of_leaf(&asker, 1);
        task.poll();
        thread.join().unwrap();

        let refused = task.end().unwrap_err();
        assert!(matches!(refused, Error::ScopeClosed { .. }), "{refused}");
        at_rest(&engine, &[&holder, &asker]);
    });
}

/// Fails if the cancellation of a charge wakes no request.
#[test]
fn a_charge_is_cancelled_while_a_request_begins_to_wait() {
    within(3, || {
        let mut limits = system_memory(2);
        limits.transient.memory = 2.into();
        let engine = engine(limits);
        let (large, asker) = (connection(&engine), connection(&engine));
        let small = of_peer(&engine);
        // Transient has room for both bytes of the large reservation. System has not, if the small
        // one comes between its check and its charge.
        let reserves = large.clone();
        let large_thread = thread::spawn(move || reserves.reserve(2, Priority::Always).is_ok());
        let reserves = small.clone();
        let small_thread = thread::spawn(move || drop(reserves.reserve(1, Priority::Always)));
        let mut task = Task::of_leaf(&asker, 1);
        task.poll();
        if large_thread.join().unwrap() {
            large.release(2);
        }
        small_thread.join().unwrap();

        task.end().unwrap();
        nothing_waits(&engine);
        large.release(2);
        small.close();
        conserved(&engine, &[&large, &asker]);
    });
}

/// Fails if a leaf with a limit of its own is not marked before a request waits for it.
#[test]
fn a_connection_releases_while_a_request_begins_to_wait_for_its_own_limit() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.conn.memory = 1.into();
        let engine = engine(limits);
        let leaf = holder(&engine, 1);
        let releaser = leaf.clone();
        let thread = thread::spawn(move || releaser.release(1));
        let mut task = Task::of_leaf(&leaf, 1);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        at_rest(&engine, &[&leaf]);
    });
}

/// Fails if a span does not look for requests that wait for it after a release.
#[test]
fn a_span_releases_while_a_request_begins_to_wait_for_its_own_limit() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let leaf = shared_connection(&engine);
        let span = SpanState::begin(Owner::Leaf(leaf.clone().into())).unwrap();
        let mut limit = Limit::UNLIMITED;
        limit.memory = 1.into();
        span.set_limit(Some(limit));
        span.reserve(1, Priority::Always).unwrap();
        let releaser = span.clone();
        let thread = thread::spawn(move || releaser.release(1));
        let mut task = Task::of_span(&span, 1);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        at_rest(&engine, &[&leaf]);
    });
}

/// Fails if a leaf that has moved does not wake its requests.
#[test]
fn a_connection_moves_while_a_request_of_it_begins_to_wait() {
    within(3, || {
        let mut limits = Limits::unlimited();
        limits.transient.memory = 1.into();
        let engine = engine(limits);
        let (holder, asker) = (holder(&engine, 1), connection(&engine));
        // Another request is the first in the queue, so room in transient wakes only that one.
        let other = connection(&engine);
        let first = Task::waiting(&other, 1);
        let mover = asker.clone();
        let thread = thread::spawn(move || set_peer(&mover).unwrap());
        let mut task = Task::of_leaf(&asker, 1);
        task.poll();
        thread.join().unwrap();

        // There is room on its new path.
        task.end().unwrap();
        drop(first);
        nothing_waits(&engine);
        holder.close();
        other.close();
        conserved(&engine, &[&asker]);
    });
}

/// Fails if a release of memory that was reserved directly wakes no request.
#[test]
fn direct_memory_is_released_while_a_request_begins_to_wait() {
    within(4, || {
        let engine = engine(system_memory(1));
        let asker = connection(&engine);
        let view = NodeUser::new(engine.peer(&peer()), engine.clone());
        view.reserve(1, Priority::Always).unwrap();
        let thread = thread::spawn(move || view.take(1));
        let mut task = Task::of_leaf(&asker, 1);
        task.poll();
        thread.join().unwrap();

        task.end().unwrap();
        at_rest(&engine, &[&asker]);
    });
}

/// Fails if a connection that gives its slot back wakes no request.
#[test]
fn a_connection_closes_while_another_is_waited_for() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.system.conns = 1.into();
        let engine = engine(limits);
        let first = connection(&engine);
        let thread = thread::spawn(move || drop(first));
        let mut task = Task::of_path(engine.opened_path(), CONNECTION);
        task.poll();
        thread.join().unwrap();

        let second = task.end().unwrap();
        at_rest(&engine, &[&second]);
    });
}

/// Fails if a stream that gives its slot back wakes no request.
#[test]
fn a_stream_closes_while_another_is_waited_for() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.system.streams = 1.into();
        let engine = engine(limits);
        let first = stream(&engine).unwrap();
        let path = engine.peer_path(PathKind::Stream, &peer());
        let mut task = Task::of_path(path, first.slot());
        let thread = thread::spawn(move || drop(first));
        task.poll();
        thread.join().unwrap();

        let second = task.end().unwrap();
        nothing_waits(&engine);
        assert_eq!(engine.stat(engine.system()).streams(), 1);
        drop(second);
        assert_eq!(engine.stat(engine.system()).streams(), 0);
    });
}
