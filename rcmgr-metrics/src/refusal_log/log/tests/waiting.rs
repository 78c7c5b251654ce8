//! Lines about refusals where requests wait for room.

use std::pin::pin;
use std::task::{Context, Waker};

use super::*;

#[test]
fn a_line_says_how_many_requests_wait_where_others_were_refused() {
    let mut case = Case::new(|limits| {
        limits.peer_default.streams_inbound = 1.into();
        limits.waiters = 2.into();
    });
    let held = case.stream("a").unwrap();
    case.refuse_streams("a", 1);
    let line = |count: &str, rest: &str| {
        format!(
            "peer:a refused {count} in the last 1 s: 1 of 1 in use now; the limit is \
             PeerDefault.StreamsInbound{rest}"
        )
    };
    case.log = case.log.interval(Duration::ZERO);
    assert_eq!(case.said(), [line("1 inbound stream", "")]);

    let mut task = Context::from_waker(Waker::noop());
    let manager = case.manager.clone();
    let mut first = pin!(manager.open_stream_when_available(&peer("a"), IN));
    assert!(first.as_mut().poll(&mut task).is_pending());
    // A wait alone is no refusal.
    assert_eq!(case.said(), [""; 0]);
    case.refuse_streams("a", 2);
    let one = line("2 inbound streams", "; 1 request waits for room");
    assert_eq!(case.said(), [one]);

    let mut second = pin!(manager.open_stream_when_available(&peer("a"), IN));
    assert!(second.as_mut().poll(&mut task).is_pending());
    let mut third = pin!(manager.open_stream_when_available(&peer("a"), IN));
    assert!(
        third.as_mut().poll(&mut task).is_ready(),
        "the queue is full"
    );
    let full = "; 2 requests wait for room, as many as Waiters allows";
    assert_eq!(case.said(), [line("1 inbound stream", full)]);

    // There is room, but not for those that do not wait.
    drop(held);
    case.refuse_streams("a", 1);
    let line = "peer:a refused 1 inbound stream in the last 1 s: 0 of 1 in use now; the limit is \
                PeerDefault.StreamsInbound; 2 requests wait for room, as many as Waiters allows";
    assert_eq!(case.said(), [line]);
}
