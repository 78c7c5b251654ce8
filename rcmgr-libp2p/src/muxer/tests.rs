//! The muxer over one in memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::io::Cursor;
use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::{Direction, Endpoint, ScopeClass, UsesFd};
use tokio::sync::oneshot;

use super::LimitedMuxer;
use crate::resources::Resources;
use crate::turn::{SHARED_STREAMS, STREAMS};

type Stream = Cursor<Vec<u8>>;

/// A muxer with these streams, and then without any.
#[derive(Debug, Default)]
struct Streams {
    inbound: VecDeque<Stream>,
    outbound: VecDeque<Stream>,
    /// How often it was asked to go on.
    polls: usize,
}

impl Streams {
    fn next(streams: &mut VecDeque<Stream>) -> Poll<Result<Stream, Infallible>> {
        streams
            .pop_front()
            .map_or(Poll::Pending, |it| Poll::Ready(Ok(it)))
    }
}

impl StreamMuxer for Streams {
    type Substream = Stream;
    type Error = Infallible;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<Stream, Infallible>> {
        Self::next(&mut self.inbound)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<Stream, Infallible>> {
        Self::next(&mut self.outbound)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Infallible>> {
        self.polls += 1;
        Poll::Pending
    }
}

fn limited(streams: Streams, limits: Limits) -> (Manager, LimitedMuxer<Streams>) {
    let manager = Manager::new(limits).unwrap();
    let resources = Resources::new(manager.clone());
    (manager, over(streams, &resources))
}

fn limited_by(resources: &Resources, inbound: Vec<Stream>) -> LimitedMuxer<Streams> {
    let streams = Streams {
        inbound: inbound.into(),
        ..Streams::default()
    };
    over(streams, resources)
}

fn over(streams: Streams, resources: &Resources) -> LimitedMuxer<Streams> {
    let manager = resources.manager();
    let connection = manager
        .open_connection(Direction::Inbound, UsesFd::No, Endpoint::None)
        .unwrap();
    let peer = libp2p_identity::PeerId::random();
    connection.set_peer(&peer.into()).unwrap();
    LimitedMuxer::new(streams, connection, resources.clone())
}

#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_stream_that_the_muxer_has_no_room_for_is_charged_when_the_muxer_has_room() {
    let (manager, mut muxer) = limited(Streams::default(), Limits::unlimited());
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(Pin::new(&mut muxer).poll_outbound(&mut cx).is_pending());
        assert_eq!(manager.stat().system.streams_outbound, 0);
        assert!(manager.stat().transient.is_zero());
    }
    muxer.inner.outbound.push_back(Stream::default());
    let Poll::Ready(Ok(stream)) = Pin::new(&mut muxer).poll_outbound(&mut cx) else {
        panic!("there is room");
    };
    assert_eq!(manager.stat().transient.streams_outbound, 1);
    drop((stream, muxer));
    assert!(manager.stat().system.is_zero());
}

#[test]
fn refused_inbound_streams_are_ended_some_at_a_time_and_the_task_is_woken_for_the_rest() {
    let mut limits = Limits::unlimited();
    limits.peer_default.streams_inbound = 0.into();
    let inbound = vec![Stream::default(); STREAMS + 1].into();
    let streams = Streams {
        inbound,
        ..Streams::default()
    };
    let (manager, mut muxer) = limited(streams, limits);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let mut poll = || Pin::new(&mut muxer).poll_inbound(&mut cx).is_pending();

    assert!(poll());
    let refused = || manager.refusals(ScopeClass::Peer).total();
    assert_eq!(refused(), STREAMS as u64);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    // Now the inner muxer waits, and has the waker.
    assert!(poll());
    assert_eq!(refused(), STREAMS as u64 + 1);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    drop(muxer);
    assert!(manager.stat().system.is_zero());
}

#[test]
fn a_connection_with_many_inbound_streams_lets_other_connections_take_their_turn() {
    let streams = Streams {
        inbound: vec![Stream::default(); STREAMS + 1].into(),
        ..Streams::default()
    };
    let (manager, mut muxer) = limited(streams, Limits::unlimited());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let mut granted = Vec::new();
    let mut poll = |muxer: &mut LimitedMuxer<Streams>| {
        while let Poll::Ready(Ok(stream)) = Pin::new(&mut *muxer).poll_inbound(&mut cx) {
            granted.push(stream);
        }
        granted.len()
    };

    assert_eq!(poll(&mut muxer), STREAMS);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    // The inner muxer has one more, and then waits with the waker.
    assert_eq!(poll(&mut muxer), STREAMS + 1);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    drop((granted, muxer));
    assert!(manager.stat().system.is_zero());
}

/// A connection that has so many inbound streams, and each of them refused.
fn flooded(streams: usize) -> (Manager, LimitedMuxer<Streams>) {
    let mut limits = Limits::unlimited();
    limits.peer_default.streams_inbound = 0.into();
    let streams = Streams {
        inbound: vec![Stream::default(); streams].into(),
        ..Streams::default()
    };
    limited(streams, limits)
}

/// A turn of the connection's task.
fn turn(muxer: &mut LimitedMuxer<Streams>, cx: &mut Context<'_>) {
    assert!(Pin::new(&mut *muxer).poll(cx).is_pending());
    assert!(Pin::new(&mut *muxer).poll_inbound(cx).is_pending());
}

#[test]
fn a_muxer_with_more_streams_than_a_turn_takes_is_asked_for_streams_only() {
    let (_, mut muxer) = flooded(2 * STREAMS + 1);
    let mut cx = Context::from_waker(Waker::noop());
    for left in [STREAMS + 1, 1, 0] {
        turn(&mut muxer, &mut cx);
        assert_eq!((muxer.inner.inbound.len(), muxer.inner.polls), (left, 1));
    }
    // The flood is over.
    turn(&mut muxer, &mut cx);
    assert_eq!(muxer.inner.polls, 2);
}

#[test]
fn connections_with_more_streams_than_a_turn_takes_share_a_turn() {
    const MANY: usize = 1000;
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let resources = Resources::new(manager.clone());
    let mut muxers: Vec<_> = (0..4)
        .map(|_| limited_by(&resources, vec![Stream::default(); MANY]))
        .collect();
    let mut cx = Context::from_waker(Waker::noop());
    let mut granted = Vec::new();
    let mut turns = |muxers: &mut [LimitedMuxer<Streams>]| {
        granted.clear();
        for muxer in muxers {
            while let Poll::Ready(Ok(stream)) = Pin::new(&mut *muxer).poll_inbound(&mut cx) {
                granted.push(stream);
            }
        }
        granted.len()
    };

    assert_eq!(turns(&mut muxers[..1]), STREAMS);
    // The first turn of each comes before its flood is known.
    turns(&mut muxers);
    assert_eq!(turns(&mut muxers), SHARED_STREAMS);
    // Those that are gone take no part.
    muxers.truncate(2);
    assert_eq!(turns(&mut muxers), SHARED_STREAMS);
    muxers.truncate(1);
    assert_eq!(turns(&mut muxers), STREAMS);
    // So many that each has one stream in a turn.
    let more = (0..3 * STREAMS).map(|_| limited_by(&resources, vec![Stream::default(); MANY]));
    muxers.extend(more);
    turns(&mut muxers);
    assert_eq!(turns(&mut muxers), muxers.len());
    // Two streams at once are no flood, however many floods there are.
    let mut calm = [limited_by(&resources, vec![Stream::default(); 2])];
    assert_eq!(turns(&mut calm), 2);
    assert_eq!(turns(&mut muxers), muxers.len());
    drop((granted, muxers, calm));
    assert!(manager.stat().system.is_zero());
}

#[test]
fn a_muxer_with_too_many_streams_goes_on_with_the_others_while_the_swarm_takes_none() {
    let (_, mut muxer) = flooded(100);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    turn(&mut muxer, &mut cx);
    assert_eq!((muxer.inner.polls, wakes.0.load(Ordering::Relaxed)), (1, 1));
    // The swarm negotiates as many streams as it may, and does not ask for another.
    for polls in 1..5 {
        assert!(Pin::new(&mut muxer).poll(&mut cx).is_pending());
        assert_eq!(muxer.inner.polls, polls);
        // The first time, the muxer had no waker to register.
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn tasks_that_are_ready_go_before_a_connection_with_more_streams_than_a_turn_takes() {
    let (manager, mut muxer) = flooded(100_000);
    let flooded = tokio::spawn(poll_fn(move |cx| {
        turn(&mut muxer, cx);
        // As when a stream of the connection is dropped.
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    let refused = || manager.refusals(ScopeClass::Peer).total();
    while refused() == 0 {
        tokio::task::yield_now().await;
    }
    let before = refused();
    // An honest connection: each step wakes the next one.
    let (first, last) = oneshot::channel();
    let mut steps = 10;
    let mut first = Some(first);
    tokio::spawn(poll_fn(move |cx| {
        if steps > 0 {
            steps -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        first.take().unwrap().send(()).unwrap();
        Poll::Ready(())
    }));
    last.await.unwrap();
    let meanwhile = refused() - before;
    assert!(meanwhile <= 2 * STREAMS as u64, "{meanwhile} streams");
    flooded.abort();
}
