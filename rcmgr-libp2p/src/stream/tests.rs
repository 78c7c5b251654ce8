//! A stream over one in memory: what is charged when, and what passes.

mod endings;
mod wire;

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use multistream_select::{Version, dialer_select_proto, listener_select_proto};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::{Direction, Endpoint, Error, ScopeClass, UsesFd};

use super::{LimitedStream, Scope};
use crate::refusal;
use crate::resources::Resources;
use wire::End;

const A: &str = "/a";

/// A manager, and the resources that it counts. `/a` has the service `a`.
fn resources(change: impl FnOnce(&mut Limits)) -> (Manager, Resources) {
    let mut limits = Limits::unlimited();
    change(&mut limits);
    let manager = Manager::new(limits).unwrap();
    let resources = Resources::new(manager.clone()).service("a", [A]);
    (manager, resources)
}

/// A stream over `end`. Its connection is closed: the stream outlives it.
fn limited(end: End, resources: &Resources, direction: Direction) -> LimitedStream<End> {
    let manager = resources.manager();
    let connection = manager
        .open_connection(direction, UsesFd::No, Endpoint::None)
        .unwrap();
    connection
        .set_peer(&libp2p_identity::PeerId::random().into())
        .unwrap();
    let scope = resources.open_stream(&connection, direction).unwrap();
    LimitedStream::new(end, scope, &resources.streams())
}

fn message(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[length], text.as_bytes()].concat()
}

fn header() -> Vec<u8> {
    message("/multistream/1.0.0\n")
}

fn name_a() -> Vec<u8> {
    message("/a\n")
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn ready<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}

fn write(stream: &mut LimitedStream<End>, bytes: &[u8]) -> io::Result<usize> {
    ready(Pin::new(stream).poll_write(&mut cx(), bytes))
}

fn read(stream: &mut LimitedStream<End>, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let read = ready(Pin::new(stream).poll_read(&mut cx(), &mut bytes))?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Polls a future until it is done.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx()) {
            return output;
        }
    }
    panic!("it waits for ever");
}

fn refused_by(error: &io::Error) -> ScopeClass {
    match refusal(error) {
        Some(Error::LimitExceeded(reached)) => reached.scope.class(),
        other => panic!("{other:?} in {error:?}"),
    }
}

/// Each call on a stream that was refused fails with the refusal.
fn assert_each_call_is_refused(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), by: ScopeClass) {
    for _ in 0..2 {
        let mut cx = cx();
        let read = ready(Pin::new(&mut *stream).poll_read(&mut cx, &mut [0; 8]));
        assert_eq!(refused_by(&read.unwrap_err()), by);
        let written = ready(Pin::new(&mut *stream).poll_write(&mut cx, b"x"));
        assert_eq!(refused_by(&written.unwrap_err()), by);
        let flushed = ready(Pin::new(&mut *stream).poll_flush(&mut cx));
        assert_eq!(refused_by(&flushed.unwrap_err()), by);
        let closed = ready(Pin::new(&mut *stream).poll_close(&mut cx));
        assert_eq!(refused_by(&closed.unwrap_err()), by);
    }
}

fn holds_nothing(manager: &Manager) -> bool {
    let stat = manager.stat();
    stat.system.is_zero() && stat.transient.is_zero() && stat.protocols.is_empty()
}

#[test]
fn a_deciding_message_that_is_taken_in_parts_is_charged_once() {
    for most in [1, 2, 3, 100] {
        let (manager, resources) = resources(|_| ());
        let (end, remote) = End::pair();
        let mut listener = limited(end.taking(most), &resources, Direction::Inbound);
        let echo = [header(), name_a()].concat();
        let mut rest = &echo[..];
        // The whole message is there from the start. A second charge would be an error.
        while !rest.is_empty() {
            rest = &rest[write(&mut listener, rest).unwrap()..];
            assert_eq!(manager.stat().protocols[A].streams_inbound, 1);
        }
        assert_eq!(remote.received(), echo);
        drop(listener);
        assert!(holds_nothing(&manager));
    }
}

#[test]
fn a_deciding_message_that_waits_for_the_inner_stream_is_charged_once() {
    let (manager, resources) = resources(|_| ());
    let (end, remote) = End::pair();
    let mut listener = limited(end.taking(0), &resources, Direction::Inbound);
    let echo = [header(), name_a()].concat();
    for _ in 0..3 {
        let written = Pin::new(&mut listener).poll_write(&mut cx(), &echo);
        assert!(written.is_pending());
        // It is charged before the remote hears of it.
        assert_eq!(manager.stat().protocols[A].streams_inbound, 1);
        assert!(remote.received().is_empty());
    }
    drop(listener);
    assert!(holds_nothing(&manager));
}

#[test]
fn a_proposal_that_is_taken_in_parts_is_followed_to_its_answer() {
    for most in [1, 2, 3, 100] {
        let (manager, resources) = resources(|_| ());
        let (end, remote) = End::pair();
        let mut dialer = limited(end.taking(most), &resources, Direction::Outbound);
        let proposal = [header(), name_a()].concat();
        let mut rest = &proposal[..];
        while !rest.is_empty() {
            rest = &rest[write(&mut dialer, rest).unwrap()..];
            assert!(manager.protocols().is_empty());
        }
        assert_eq!(remote.received(), proposal);
        remote.send(&proposal);
        while manager.protocols().is_empty() {
            assert!(!read(&mut dialer, most).unwrap().is_empty());
        }
        assert_eq!(manager.stat().protocols[A].streams_outbound, 1);
        drop(dialer);
        assert!(holds_nothing(&manager));
    }
}

#[test]
fn slices_pass_one_at_a_time_while_the_protocol_is_negotiated_and_all_at_once_afterwards() {
    let (manager, resources) = resources(|_| ());
    let (end, remote) = End::pair();
    let mut listener = limited(end, &resources, Direction::Inbound);
    let (header, name) = (header(), name_a());
    let mut write = |slices: &[&[u8]]| {
        let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        ready(Pin::new(&mut listener).poll_write_vectored(&mut cx(), &slices)).unwrap()
    };
    assert_eq!(write(&[]), 0);
    assert_eq!(write(&[b"", &header, &name]), header.len());
    assert!(manager.protocols().is_empty());
    assert_eq!(write(&[&name, b"more"]), name.len());
    assert_eq!(manager.stat().protocols[A].streams_inbound, 1);
    assert_eq!(write(&[b"one", b"", b"two"]), 6);
    assert_eq!(remote.received(), [&header, &name, &b"onetwo"[..]].concat());
    drop(listener);
    assert!(holds_nothing(&manager));
}

#[test]
fn buffers_are_filled_one_at_a_time_while_the_protocol_is_negotiated_and_all_at_once_afterwards() {
    let (manager, resources) = resources(|_| ());
    let (end, remote) = End::pair();
    let mut dialer = limited(end, &resources, Direction::Outbound);
    write(&mut dialer, &[header(), name_a()].concat()).unwrap();
    remote.send(&[&header()[..], &name_a(), b"onetwo"].concat());
    let mut read = |lengths: &[usize]| {
        let mut buffers: Vec<_> = lengths.iter().map(|length| vec![0; *length]).collect();
        let mut slices: Vec<_> = buffers.iter_mut().map(|it| IoSliceMut::new(it)).collect();
        ready(Pin::new(&mut dialer).poll_read_vectored(&mut cx(), &mut slices)).unwrap();
        buffers
    };
    assert_eq!(read(&[0, 20, 3]), [vec![], header(), vec![0; 3]]);
    assert!(manager.protocols().is_empty());
    assert_eq!(read(&[4, 3]), [name_a(), vec![0; 3]]);
    assert_eq!(manager.stat().protocols[A].streams_outbound, 1);
    assert_eq!(read(&[3, 0, 3]), [b"one".to_vec(), vec![], b"two".to_vec()]);
    drop(dialer);
    assert!(holds_nothing(&manager));
}

#[test]
fn a_stream_whose_service_is_refused_ends_at_once_and_gives_its_protocol_back() {
    let (manager, resources) = resources(|limits| {
        let mut none = rcmgr_core::Limit::UNLIMITED;
        none.streams = 0.into();
        limits.service_default = Some(none);
    });
    let (end, remote) = End::pair();
    let mut listener = limited(end, &resources, Direction::Inbound);
    write(&mut listener, &header()).unwrap();
    // A handler may hold the scope.
    let _scope = crate::scope_of(&mut listener).unwrap();
    let error = write(&mut listener, &name_a()).unwrap_err();
    assert_eq!(refused_by(&error), ScopeClass::Service);
    assert_eq!(remote.received(), header());
    assert!(remote.is_ended());
    // The stream is still there.
    assert!(holds_nothing(&manager));
    assert_each_call_is_refused(&mut listener, ScopeClass::Service);

    let (end, remote) = End::pair();
    let mut dialer = limited(end, &resources, Direction::Outbound);
    write(&mut dialer, &[header(), name_a()].concat()).unwrap();
    assert!(
        Pin::new(&mut dialer)
            .poll_read(&mut cx(), &mut [0])
            .is_pending()
    );
    remote.send(&[header(), name_a()].concat());
    let error = read(&mut dialer, 64).unwrap_err();
    assert_eq!(refused_by(&error), ScopeClass::Service);
    assert!(remote.is_ended());
    assert!(holds_nothing(&manager));
    assert_each_call_is_refused(&mut dialer, ScopeClass::Service);
}

#[test]
fn a_refused_stream_ends_inside_a_message_if_that_is_chosen_and_never_with_a_whole_one() {
    let (manager, resources) = resources(|limits| limits.protocol_default.streams = 0.into());
    let inside = resources.clone().end_refused_streams_inside_a_message();
    let echo = [header(), name_a()].concat();
    // The sizes of the writes, and how many bytes reach the remote.
    for (resources, pieces, reach) in [
        (&resources, vec![20, 4], 20),
        (&inside, vec![20, 4], 21),
        (&resources, vec![24], 0),
        (&inside, vec![24], 1),
        (&resources, vec![20, 3, 1], 23),
        (&inside, vec![20, 3, 1], 23),
        (&inside, vec![1; 24], 23),
    ] {
        let (end, remote) = End::pair();
        let mut listener = limited(end, resources, Direction::Inbound);
        let (last, before) = pieces.split_last().unwrap();
        let mut rest = &echo[..];
        for piece in before {
            write(&mut listener, &rest[..*piece]).unwrap();
            rest = &rest[*piece..];
        }
        let error = write(&mut listener, &rest[..*last]).unwrap_err();
        assert_eq!(refused_by(&error), ScopeClass::Protocol);
        assert_eq!(remote.received(), echo[..reach], "{pieces:?}");
        assert!(remote.is_ended());
    }

    // A muxer without room for the byte, and a dialer.
    let (end, remote) = End::pair();
    let mut listener = limited(end.taking(0), &inside, Direction::Inbound);
    let error = write(&mut listener, &echo).unwrap_err();
    assert_eq!(refused_by(&error), ScopeClass::Protocol);
    assert!(remote.received().is_empty() && remote.is_ended());
    let (end, remote) = End::pair();
    let mut dialer = limited(end, &inside, Direction::Outbound);
    write(&mut dialer, &echo).unwrap();
    let error = write(&mut dialer, b"data").unwrap_err();
    assert_eq!(refused_by(&error), ScopeClass::Protocol);
    assert_eq!(remote.received(), echo);
    assert!(holds_nothing(&manager));
}

/// Resources that refuse every protocol, and a remote that agrees to `/a`.
fn refusing() -> (Manager, Resources, End, impl Future<Output = ()>) {
    let (manager, resources) = resources(|limits| limits.protocol_default.streams = 0.into());
    let (end, remote) = End::pair();
    let remote = async move {
        let (_, mut io) = listener_select_proto(remote, [A]).await.unwrap();
        // The other side ends while this one waits.
        let _ = io.read_to_end(&mut Vec::new()).await;
    };
    (manager, resources, end, remote)
}

#[test]
fn the_refusal_of_a_dialer_that_waits_for_the_answer_comes_from_the_negotiation() {
    let (manager, resources, end, remote) = refusing();
    let dialer = limited(end, &resources, Direction::Outbound);
    let (outcome, ()) = finish(futures::future::join(
        dialer_select_proto(dialer, [A], Version::V1),
        remote,
    ));
    let error = io::Error::from(outcome.unwrap_err());
    assert_eq!(refused_by(&error), ScopeClass::Protocol);
    assert!(holds_nothing(&manager));
}

#[test]
fn a_lazy_dialer_may_go_on_with_its_stream_after_the_refusal_however_it_meets_it() {
    // multistream-select panics when a lazy stream is used after a read of the answer that failed.
    for first in ["write", "read", "flush, then read", "close, then read"] {
        let (manager, resources, end, remote) = refusing();
        let dialer = limited(end, &resources, Direction::Outbound);
        let dialer = async {
            let lazy = dialer_select_proto(dialer, [A], Version::V1Lazy);
            let (_, mut io) = lazy.await.unwrap();
            match first {
                "flush, then read" => io.flush().await.unwrap(),
                "close, then read" => io.close().await.unwrap(),
                _ => {}
            }
            let error = match first {
                "write" => io.write(b"ask").await.unwrap_err(),
                _ => io.read(&mut [0; 8]).await.unwrap_err(),
            };
            assert_eq!(refused_by(&error), ScopeClass::Protocol, "{first}");
            assert!(holds_nothing(&manager), "{first}");
            assert_each_call_is_refused(&mut io, ScopeClass::Protocol);
        };
        finish(futures::future::join(dialer, remote));
    }
}

#[test]
fn a_lazy_dialer_that_finds_the_answer_at_its_first_read_may_go_on_after_the_refusal() {
    let (manager, resources) = resources(|limits| limits.protocol_default.streams = 0.into());
    let (end, remote) = End::pair();
    // It is there before it was asked for.
    remote.send(&[header(), name_a()].concat());
    let mut dialer = limited(end, &resources, Direction::Outbound);
    let error = finish(async {
        let lazy = dialer_select_proto(&mut dialer, [A], Version::V1Lazy);
        let (_, mut io) = lazy.await.unwrap();
        let error = io.read(&mut [0; 8]).await.unwrap_err();
        io.close().await.unwrap_err();
        error
    });
    assert_eq!(refused_by(&error), ScopeClass::Protocol);
    assert!(holds_nothing(&manager));
}

/// Negotiates one of two protocols, asks, answers, and closes the stream.
async fn converse(stream: LimitedStream<End>, role: Direction, version: Version) -> io::Result<()> {
    let mut bytes = [0; 3];
    let mut io = match role {
        Direction::Outbound => dialer_select_proto(stream, ["/other", A], version).await?.1,
        Direction::Inbound => listener_select_proto(stream, [A]).await?.1,
    };
    if role == Direction::Outbound {
        io.write_all(b"ask").await?;
        io.flush().await?;
    }
    io.read_exact(&mut bytes).await?;
    if role == Direction::Inbound {
        io.write_all(&bytes).await?;
    }
    io.close().await
}
