//! The read buffer: its reservation, its bytes, and futures that are dropped.

mod support;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use proptest::prelude::*;
use rcmgr_atomic::{Error, Manager, Priority, ScopeId};
use rcmgr_tokio::{Buffer, GuardedStream};
use support::{drop_at_every_poll, inbound, poll_at_most, unlimited, with_memory};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};

/// One poll of a scripted reader.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It gives at most so many bytes.
    Give(usize),
    /// It gives nothing, and wakes the reader at once.
    NotYet,
    Fail,
}

/// A reader that follows a script. It checks at each poll that all memory it may write to is
/// reserved.
struct Script {
    steps: VecDeque<Step>,
    manager: Manager,
    /// How many bytes the buffer holds before the poll.
    held: usize,
    /// The next byte.
    next: u8,
}

impl Script {
    fn new(manager: &Manager, steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            manager: manager.clone(),
            held: 0,
            next: 0,
        }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let reserved = self.manager.stat().system.memory;
        let used = self.held + buf.remaining();
        assert!(
            reserved >= used as u64,
            "{reserved} are reserved for {used}"
        );
        match self.steps.pop_front() {
            Some(Step::Give(most)) => {
                let given = most.min(buf.remaining());
                for _ in 0..given {
                    buf.put_slice(&[self.next]);
                    self.next = self.next.wrapping_add(1);
                }
                if given < most {
                    self.steps.push_front(Step::Give(most - given));
                }
                Poll::Ready(Ok(()))
            }
            Some(Step::NotYet) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Fail) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[tokio::test]
async fn a_buffer_that_waits_for_its_client_holds_no_memory() {
    let manager = unlimited();
    let scope = inbound(&manager);
    let (mut client, mut server) = tokio::io::duplex(64);
    let mut buffer = Buffer::new(scope, Priority::Medium);
    let mut fill = spawn(buffer.fill_from(&mut server));
    assert_pending!(fill.poll());
    assert_eq!(manager.stat().system.memory, 0);

    client.write_all(b"hello").await.unwrap();
    assert!(fill.is_woken());
    assert_eq!(assert_ready_ok!(fill.poll()), 5);
    drop(fill);
    assert_eq!(&*buffer, b"hello");
    assert_eq!(manager.stat().system.memory, buffer.capacity() as u64);
    buffer.consume(4);
    assert_eq!(&*buffer, b"o");
    assert!(buffer.capacity() > 0);
    buffer.consume(1);
    assert_eq!(manager.stat().system.memory, 0);
    assert_eq!(buffer.capacity(), 0);
}

#[tokio::test]
async fn a_buffer_keeps_its_floor_when_it_is_empty_and_nothing_when_it_is_dropped() {
    let manager = unlimited();
    let scope = inbound(&manager);
    let mut buffer = Buffer::new(scope.clone(), Priority::Medium).floor(1024);
    assert_eq!(manager.stat().system.memory, 0);
    let mut input: &[u8] = &[0; 100_000];
    while buffer.fill_from(&mut input).await.unwrap() > 0 {}
    assert_eq!(buffer.len(), 100_000);
    buffer.consume_all();
    assert_eq!(buffer.capacity(), 1024);
    assert_eq!(manager.stat().system.memory, 1024);
    drop(buffer);
    assert_eq!(scope.stat().memory, 0);
    drop(scope);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn the_end_and_an_error_of_the_reader_give_the_memory_of_an_empty_buffer_back() {
    let manager = unlimited();
    let mut buffer = Buffer::new(inbound(&manager), Priority::Medium);
    assert_eq!(buffer.fill_from(&mut &b""[..]).await.unwrap(), 0);
    assert_eq!(manager.stat().system.memory, 0);
    let mut broken = Script::new(&manager, [Step::Fail]);
    let error = buffer.fill_from(&mut broken).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(manager.stat().system.memory, 0);
}

#[tokio::test]
async fn a_refusal_has_the_name_of_the_scope_and_loses_no_byte() {
    let manager = with_memory(8192);
    let mut buffer = Buffer::new(inbound(&manager), Priority::Always);
    let mut input: &[u8] = &[7; 10_000];
    assert_eq!(buffer.fill_from(&mut input).await.unwrap(), 4096);
    assert_eq!(buffer.fill_from(&mut input).await.unwrap(), 4096);
    let error = buffer.fill_from(&mut input).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    let refused: Error = error.downcast().unwrap();
    assert_eq!(
        refused.scope().unwrap().to_string(),
        ScopeId::System.to_string()
    );
    assert_eq!((buffer.len(), input.len()), (8192, 10_000 - 8192));
}

#[tokio::test]
async fn near_the_limit_a_buffer_grows_in_smaller_steps() {
    let manager = with_memory(5 * 4096);
    let mut buffer = Buffer::new(inbound(&manager), Priority::Always);
    let mut input: &[u8] = &[7; 100_000];
    while buffer.fill_from(&mut input).await.is_ok() {}
    assert_eq!(buffer.len(), 5 * 4096);
}

#[tokio::test]
async fn a_full_buffer_says_so_and_goes_on_when_a_byte_is_consumed() {
    let mut buffer = Buffer::new(inbound(&unlimited()), Priority::Always).most(5000);
    let mut input: &[u8] = &[7; 6000];
    assert_eq!(buffer.fill_from(&mut input).await.unwrap(), 4096);
    assert_eq!(buffer.fill_from(&mut input).await.unwrap(), 904);
    let error = buffer.fill_from(&mut input).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let text = "the buffer is full: it holds 5000 bytes, as many as it may";
    assert_eq!(error.to_string(), text);
    let error = buffer
        .fill_from_when_available(&mut input)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    buffer.consume(1);
    assert_eq!(buffer.fill_from(&mut input).await.unwrap(), 1);
    assert_eq!(buffer.capacity(), 5000);
}

#[tokio::test]
async fn a_buffer_of_a_closed_connection_is_refused() {
    let scope = inbound(&unlimited());
    let mut buffer = Buffer::new(scope.clone(), Priority::Always);
    scope.done();
    let mut input = &b"hello"[..];
    let error = buffer.fill_from(&mut input).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    let error = buffer
        .fill_from_when_available(&mut input)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn a_buffer_that_needs_more_than_there_can_ever_be_does_not_wait() {
    let manager = with_memory(1000);
    let mut buffer = Buffer::new(inbound(&manager), Priority::Always);
    let mut input = &b"hello"[..];
    let error = buffer
        .fill_from_when_available(&mut input)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
}

#[tokio::test]
async fn a_buffer_waits_for_memory_that_another_one_holds() {
    let manager = with_memory(4096);
    let mut first = Buffer::new(inbound(&manager), Priority::Always);
    let mut second = Buffer::new(inbound(&manager), Priority::Always);
    first.fill_from(&mut &b"first"[..]).await.unwrap();
    let mut input = &b"second"[..];
    assert_ready_err!(spawn(second.fill_from(&mut input)).poll());

    let mut fill = spawn(second.fill_from_when_available(&mut input));
    assert_pending!(fill.poll());
    first.consume_all();
    assert!(fill.is_woken());
    assert_eq!(assert_ready_ok!(fill.poll()), 6);
    drop(fill);
    assert_eq!(&*second, b"second");
}

#[tokio::test]
async fn a_buffer_that_waits_for_its_client_waits_for_no_memory() {
    let manager = with_memory(4096);
    let (_client, mut server) = tokio::io::duplex(64);
    let mut idle = Buffer::new(inbound(&manager), Priority::Always);
    let mut fill = spawn(idle.fill_from_when_available(&mut server));
    assert_pending!(fill.poll());
    let mut busy = Buffer::new(inbound(&manager), Priority::Always);
    assert_eq!(busy.fill_from(&mut &b"busy"[..]).await.unwrap(), 4);
    assert!(manager.waiting().is_empty());
    assert!(!fill.is_woken());
}

#[tokio::test]
async fn a_fill_that_is_dropped_at_any_poll_loses_no_byte_and_no_reservation() {
    // The memory suffices for the buffer only while the other holder has none.
    let manager = with_memory(8192);
    let system = Arc::new(manager.view_system());
    let mut buffer = Buffer::new(inbound(&manager), Priority::Always);
    let mut reader = Script::new(&manager, []);
    let mut expected = 0_u8;
    for form in ["refused", "waiting"] {
        let polls = drop_at_every_poll(async |polls| {
            reader.steps = [Step::NotYet, Step::NotYet, Step::Give(5000)].into();
            let filled = if form == "waiting" {
                system.reserve_memory(8192, Priority::Always).unwrap();
                let fill = buffer.fill_from_when_available(&mut reader);
                let release = async {
                    tokio::task::yield_now().await;
                    system.release_memory(8192);
                };
                tokio::join!(poll_at_most(polls, fill), release).0
            } else {
                poll_at_most(polls, buffer.fill_from(&mut reader)).await
            };
            assert_eq!(manager.stat().system.memory, buffer.capacity() as u64);
            assert!(manager.waiting().is_empty());
            let Some(filled) = filled else {
                assert!(buffer.is_empty());
                assert_eq!(buffer.capacity(), 0);
                return false;
            };
            assert_eq!(filled.unwrap(), 4096);
            true
        })
        .await;
        assert!(polls >= 3, "{form}: {polls}");
        while buffer.fill_from(&mut reader).await.unwrap() > 0 {}
        assert_eq!(buffer.len(), 5000);
        for &byte in &*buffer {
            assert_eq!(byte, expected);
            expected = expected.wrapping_add(1);
        }
        buffer.consume_all();
    }
}

#[tokio::test]
async fn a_stream_makes_buffers_and_an_echo_consumes_what_it_has_written() {
    let manager = unlimited();
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let mut conn = GuardedStream::new(server, inbound(&manager), rcmgr_atomic::Endpoint::None);
    let mut buffer = conn.buffer(Priority::Medium);
    client.write_all(&[9; 5000]).await.unwrap();
    client.shutdown().await.unwrap();
    while buffer.fill_from(&mut conn).await.unwrap() > 0 {
        conn.write_all_buf(&mut buffer).await.unwrap();
        assert!(buffer.is_empty());
        assert_eq!(conn.scope().stat().memory, 0);
    }
    drop(conn);
    let mut echo = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut client, &mut echo)
        .await
        .unwrap();
    assert_eq!(echo, [9; 5000]);
    // The buffer is a holder of the scope.
    assert_eq!(manager.stat().system.conns_inbound, 1);
    drop(buffer);
    assert!(manager.stat().system.is_zero());
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Fill(Step),
    Consume(usize),
    ConsumeAll,
}

fn action() -> impl Strategy<Value = Action> {
    let size = prop_oneof![0..16_usize, 0..10_000_usize];
    prop_oneof![
        6 => size.clone().prop_map(|size| Action::Fill(Step::Give(size))),
        1 => Just(Action::Fill(Step::NotYet)),
        1 => Just(Action::Fill(Step::Fail)),
        3 => size.prop_map(Action::Consume),
        1 => Just(Action::ConsumeAll),
    ]
}

proptest! {
    #[test]
    fn a_buffer_reserves_at_least_its_capacity_at_any_time_and_exactly_that_at_rest(
        actions in prop::collection::vec(action(), 0..60),
        limit in prop_oneof![Just(u64::MAX >> 1), 0..60_000_u64],
        floor in prop_oneof![Just(0), 0..10_000_usize],
        most in prop_oneof![Just(1 << 20), 0..30_000_usize],
    ) {
        let manager = with_memory(limit);
        let scope = inbound(&manager);
        let mut buffer = Buffer::new(scope.clone(), Priority::Always).floor(floor).most(most);
        let mut model: VecDeque<u8> = VecDeque::new();
        let mut reader = Script::new(&manager, []);
        for action in actions {
            match action {
                Action::Fill(step) => {
                    let first = reader.next;
                    reader.steps = [step].into();
                    reader.held = buffer.len();
                    let filled = spawn(buffer.fill_from(&mut reader)).poll();
                    let read = usize::from(reader.next.wrapping_sub(first));
                    if let Poll::Ready(Ok(filled)) = filled {
                        prop_assert_eq!(filled % 256, read);
                        model.extend((0..filled).map(|i| first.wrapping_add(i as u8)));
                    } else {
                        prop_assert_eq!(read, 0);
                    }
                }
                Action::Consume(bytes) => {
                    buffer.consume(bytes);
                    model.drain(..bytes.min(model.len()));
                }
                Action::ConsumeAll => {
                    buffer.consume_all();
                    model.clear();
                }
            }
            prop_assert!(buffer.iter().eq(&model));
            prop_assert_eq!(scope.stat().memory, buffer.capacity() as u64);
            prop_assert!(buffer.capacity() <= most);
            if buffer.is_empty() {
                prop_assert!(buffer.capacity() <= floor);
            }
        }
        drop((buffer, scope));
        prop_assert!(manager.stat().system.is_zero());
    }
}
