//! Streams that end at any moment, or without a protocol.

use super::*;

#[test]
fn a_stream_that_is_dropped_at_any_poll_leaves_nothing_on_either_side() {
    for version in [Version::V1, Version::V1Lazy] {
        for dropped in [Direction::Outbound, Direction::Inbound] {
            let mut polls = 0;
            while drop_after(polls, dropped, version) {
                polls += 1;
            }
            // Each call on the streams waits once.
            assert!(polls > 10, "{polls}");
        }
    }
}

/// Lets both sides converse, and drops one of them after so many polls. Returns whether it was still
/// at work.
fn drop_after(polls: usize, dropped: Direction, version: Version) -> bool {
    let (ends, (manager, resources)) = (End::pair(), resources(|_| ()));
    let side = |end: End, direction| {
        let stream = limited(end.pausing(), &resources, direction);
        Box::pin(converse(stream, direction, version))
    };
    let mut outbound = Some(side(ends.0, Direction::Outbound));
    let mut inbound = Some(side(ends.1, Direction::Inbound));
    let (first, second) = match dropped {
        Direction::Outbound => (&mut outbound, &mut inbound),
        Direction::Inbound => (&mut inbound, &mut outbound),
    };
    let poll = |side: &mut Option<Pin<Box<_>>>| {
        let polled = side
            .as_mut()
            .map(|side| Future::poll(Pin::new(side), &mut cx()));
        match polled {
            Some(Poll::Ready(outcome)) => {
                *side = None;
                let _: io::Result<()> = outcome;
                true
            }
            _ => false,
        }
    };
    for _ in 0..polls {
        poll(first);
        poll(second);
    }
    let was_at_work = first.take().is_some();
    let stat = manager.stat();
    let held = match dropped {
        Direction::Outbound => stat.system.streams_outbound,
        Direction::Inbound => stat.system.streams_inbound,
    };
    assert_eq!(held, 0, "{version:?} {dropped:?} after {polls} polls");
    // The other side sees the end.
    for _ in 0..1000 {
        if second.is_none() || poll(second) {
            break;
        }
    }
    assert!(
        second.is_none(),
        "{version:?} {dropped:?} after {polls} polls"
    );
    assert!(holds_nothing(&manager));
    was_at_work
}

#[test]
fn a_stream_that_is_no_negotiation_stays_transient_until_it_is_dropped() {
    let (manager, resources) = resources(|_| ());
    let (end, _remote) = End::pair();
    let mut listener = limited(end, &resources, Direction::Inbound);
    write(&mut listener, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    write(&mut listener, &[header(), name_a()].concat()).unwrap();
    assert!(manager.protocols().is_empty());
    assert_eq!(manager.stat().transient.streams_inbound, 1);
    let scope = crate::scope_of(&mut listener).unwrap();
    drop(listener);
    assert!(holds_nothing(&manager));
    assert!(scope.set_protocol(A).is_err());
}

#[test]
fn a_stream_whose_protocol_is_no_text_stays_transient_until_it_is_dropped() {
    let (manager, resources) = resources(|_| ());
    let (end, _remote) = End::pair();
    let mut listener = limited(end, &resources, Direction::Inbound);
    write(&mut listener, &[header(), b"\x03/\xff\n".to_vec()].concat()).unwrap();
    write(&mut listener, &name_a()).unwrap();
    assert!(manager.protocols().is_empty());
    assert_eq!(manager.stat().transient.streams_inbound, 1);
    drop(listener);
    assert!(holds_nothing(&manager));
}

struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_stream_is_charged_until_the_inner_one_has_ended_and_not_for_its_handler() {
    for has_handler in [false, true] {
        let (manager, resources) = resources(|_| ());
        let (end, _remote) = End::pair();
        let scope = limited(end, &resources, Direction::Inbound).scope.take();
        let Some(Scope::Own(scope)) = scope else {
            panic!("nothing has asked for it");
        };
        let held_at_end = std::cell::Cell::new(None);
        let inner = AtEnd(|| held_at_end.set(Some(manager.stat().system.streams_inbound)));
        let mut stream = LimitedStream::new(inner, scope, &resources.streams());
        if has_handler {
            // This thread holds the scope until it asks again.
            let _ = Pin::new(&mut stream).answer::<()>();
        }
        drop(stream);
        assert_eq!(held_at_end.get(), Some(1));
        assert!(holds_nothing(&manager));
    }
}
