//! The guarded stream: when its socket is closed, and when its scope is given back.

mod support;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::collection::vec;
use proptest::prelude::*;
use rcmgr_atomic::{Endpoint, Manager, Priority};
use rcmgr_tokio::{Guarded, GuardedStream};
use support::{eventually, inbound, unlimited};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A socket that checks, when it is closed, that its connection is still counted.
#[derive(Debug)]
struct Counted(Manager);

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(self.0.stat().system.fd, 1);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

fn counted(manager: &Manager) -> GuardedStream<Counted> {
    GuardedStream::new(Counted(manager.clone()), inbound(manager), Endpoint::None)
}

/// A guarded stream in memory, and its client.
fn in_memory(manager: &Manager) -> (DuplexStream, GuardedStream<DuplexStream>) {
    let (client, server) = tokio::io::duplex(1024);
    let stream = GuardedStream::new(server, inbound(manager), Endpoint::None);
    (client, stream)
}

/// A guarded listener on the loopback interface.
async fn listen(manager: &Manager) -> (Guarded<TcpListener>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Guarded::new(listener, manager.clone()), address)
}

#[test]
fn a_stream_closes_its_socket_before_its_scope_is_given_back() {
    let manager = unlimited();
    drop(counted(&manager));
    assert!(manager.stat().system.is_zero());
    let (reader, writer) = counted(&manager).into_split();
    drop(writer);
    drop(reader);
    assert!(manager.stat().system.is_zero());
    let (reader, writer) = counted(&manager).into_split();
    drop(reader);
    drop(writer);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn vectored_writes_reach_the_socket_through_the_stream_and_its_half() {
    let manager = unlimited();
    let parts = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
    let mut stream = counted(&manager);
    assert!(stream.is_write_vectored());
    assert_eq!(stream.write_vectored(&parts).await.unwrap(), 5);
    let (_reader, mut writer) = stream.into_split();
    assert!(writer.is_write_vectored());
    assert_eq!(writer.write_vectored(&parts).await.unwrap(), 5);
}

/// A socket that takes some bytes of each write, and keeps them.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// The most that it takes at a time.
    most: usize,
    /// Calls for one piece, and for several.
    calls: [usize; 2],
}

impl AsyncRead for Kept {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.calls[0] += 1;
        let taken = &buf[..buf.len().min(self.most)];
        self.bytes.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.calls[1] += 1;
        let taken = Vec::from_iter(bufs.iter().flat_map(|buf| buf.iter().copied()));
        let taken = &taken[..taken.len().min(self.most)];
        self.bytes.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

fn kept(manager: &Manager, most: usize) -> GuardedStream<Kept> {
    let socket = Kept {
        most,
        ..Kept::default()
    };
    GuardedStream::new(socket, inbound(manager), Endpoint::None)
}

#[tokio::test]
async fn short_pieces_are_written_as_one_and_long_ones_as_they_are() {
    let manager = unlimited();
    for (lengths, calls) in [
        ([117, 13], [1, 0]),
        ([2000, 48], [1, 0]),
        ([2000, 49], [0, 1]),
        ([117, 64 << 10], [0, 1]),
    ] {
        let mut stream = kept(&manager, usize::MAX);
        let pieces = lengths.map(|length| vec![7; length]);
        let slices = pieces.each_ref().map(|piece| IoSlice::new(piece));
        let written = stream.write_vectored(&slices).await.unwrap();
        assert_eq!(written, lengths.iter().sum::<usize>());
        assert_eq!(stream.get_ref().calls, calls, "{lengths:?}");
        assert_eq!(stream.get_ref().bytes.len(), written);
    }
}

proptest! {
    #[test]
    fn pieces_of_any_lengths_arrive_in_order(
        lengths in vec(prop_oneof![0..20_usize, 0..1500_usize], 0..6),
        most in 1..2500_usize,
    ) {
        let manager = unlimited();
        let mut next = 0_u8;
        let pieces = Vec::from_iter(lengths.iter().map(|&length| {
            Vec::from_iter(std::iter::repeat_with(|| {
                next = next.wrapping_add(1);
                next
            }).take(length))
        }));
        let mut slices = Vec::from_iter(pieces.iter().map(|piece| IoSlice::new(piece)));
        let mut rest = &mut slices[..];
        let mut stream = kept(&manager, most);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while rest.iter().any(|slice| !slice.is_empty()) {
            let polled = Pin::new(&mut stream).poll_write_vectored(&mut cx, rest);
            let Poll::Ready(Ok(written)) = polled else {
                panic!("{polled:?}");
            };
            prop_assert!(written > 0);
            IoSlice::advance_slices(&mut rest, written);
        }
        prop_assert_eq!(&stream.get_ref().bytes, &pieces.concat());
    }
}

#[tokio::test]
async fn a_stream_gives_its_scope_its_peer_and_its_socket() {
    let manager = unlimited();
    let (listener, address) = listen(&manager).await;
    let client = TcpStream::connect(address).await.unwrap();
    let stream = listener.accept().await;
    assert_eq!(stream.peer(), client.local_addr().unwrap().into());
    assert_eq!(stream.get_ref().local_addr().unwrap(), address);
    assert_eq!(stream.as_ref().local_addr().unwrap(), address);
    assert_eq!(stream.scope().stat().fd, 1);
    let (peer, name) = (stream.peer(), stream.scope().name());
    let (reader, writer) = stream.into_split();
    assert_eq!((reader.peer(), writer.peer()), (peer, peer));
    assert_eq!(reader.scope().name(), name);
    assert_eq!(writer.scope().name(), name);
}

#[tokio::test]
async fn a_clone_of_the_scope_keeps_the_connection_counted_after_its_socket_is_closed() {
    let manager = unlimited();
    let (mut client, stream) = in_memory(&manager);
    let scope = stream.scope().clone();
    let buffer = stream.buffer(Priority::Medium);
    drop(stream);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(manager.stat().system.conns_inbound, 1);
    drop(scope);
    assert_eq!(manager.stat().system.conns_inbound, 1);
    drop(buffer);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn a_span_of_the_scope_ends_with_the_connection_even_if_it_is_kept() {
    let manager = unlimited();
    let (_client, stream) = in_memory(&manager);
    let span = stream.scope().begin_span().unwrap();
    span.reserve_memory(100, Priority::Always).unwrap();
    assert_eq!(stream.scope().stat().memory, 100);
    drop(stream);
    assert!(manager.stat().system.is_zero());
    span.reserve_memory(100, Priority::Always).unwrap_err();
    drop(span);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn a_dropped_write_half_ends_the_data_while_the_read_half_still_reads() {
    let manager = unlimited();
    let (listener, address) = listen(&manager).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = listener.accept().await.into_split();
    writer.write_all(b"bye").await.unwrap();
    drop(writer);
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"bye");

    client.write_all(b"more").await.unwrap();
    let mut heard = [0; 4];
    reader.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"more");
    assert_eq!(manager.stat().system.fd, 1);
    drop(reader);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn the_halves_work_in_two_tasks_and_the_last_one_ends_the_scope() {
    let manager = unlimited();
    let (listener, address) = listen(&manager).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = listener.accept().await.into_split();
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
    let read = tokio::spawn(async move {
        let mut buffer = reader.buffer(Priority::Medium);
        while buffer.fill_from(&mut reader).await.unwrap() > 0 {
            sender.send(buffer.to_vec()).await.unwrap();
            buffer.consume_all();
        }
    });
    let write = tokio::spawn(async move {
        while let Some(bytes) = receiver.recv().await {
            writer.write_all(&bytes).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        writer
    });
    let data: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
    let (mut from_server, mut to_server) = client.split();
    let mut echo = Vec::new();
    let send = async {
        to_server.write_all(&data).await.unwrap();
        to_server.shutdown().await.unwrap();
    };
    let (_, received) = tokio::join!(send, from_server.read_to_end(&mut echo));
    received.unwrap();
    assert_eq!(echo, data);
    read.await.unwrap();
    let writer = write.await.unwrap();
    assert_eq!(manager.stat().system.fd, 1);
    drop(writer);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn a_panic_in_a_handler_gives_everything_back() {
    let manager = unlimited();
    let (listener, address) = listen(&manager).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut stream = listener.accept().await;
    client.write_all(b"x").await.unwrap();
    let handler = tokio::spawn(async move {
        let mut buffer = stream.buffer(Priority::Medium);
        buffer.fill_from(&mut stream).await.unwrap();
        panic!("a bug of the handler, on purpose");
    });
    assert!(handler.await.unwrap_err().is_panic());
    assert!(manager.stat().system.is_zero());
    // The socket is closed. As a byte was read, the client sees the end and no reset.
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[test]
fn the_end_of_the_runtime_with_open_connections_gives_everything_back() {
    let manager = unlimited();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let clients = runtime.block_on(async {
        let (listener, address) = listen(&manager).await;
        let mut clients = Vec::new();
        for i in 0..100 {
            clients.push(TcpStream::connect(address).await.unwrap());
            let mut stream = listener.accept().await;
            if i % 2 == 0 {
                tokio::spawn(async move { stream.read_u8().await });
                continue;
            }
            tokio::spawn(async move {
                let span = stream.scope().begin_span().unwrap();
                span.reserve_memory(1000, Priority::Always).unwrap();
                let (mut reader, _writer) = stream.into_split();
                let mut buffer = reader.buffer(Priority::Always);
                buffer.fill_from(&mut reader).await
            });
        }
        // The accept loop itself is cut, too.
        tokio::spawn(async move { listener.accept().await });
        clients
    });
    assert_eq!(manager.stat().system.conns_inbound, 100);
    drop(runtime);
    assert!(manager.stat().system.is_zero());
    drop(clients);
}

#[tokio::test]
async fn a_leaked_stream_keeps_its_socket_and_its_scope() {
    let manager = unlimited();
    let (client, stream) = in_memory(&manager);
    std::mem::forget(stream);
    assert_eq!(manager.stat().system.conns_inbound, 1);
    let mut client = tokio_test::task::spawn(client);
    let mut byte = [0];
    let read = client.enter(|cx, client| client.poll_read(cx, &mut ReadBuf::new(&mut byte)));
    assert!(read.is_pending(), "the other end is open");
}

#[tokio::test]
async fn an_aborted_task_gives_everything_back() {
    let manager = unlimited();
    let (_client, mut stream) = in_memory(&manager);
    let task = tokio::spawn(async move { stream.read_u8().await });
    tokio::task::yield_now().await;
    task.abort();
    eventually("the connection is given back", || {
        manager.stat().system.is_zero()
    })
    .await;
}
