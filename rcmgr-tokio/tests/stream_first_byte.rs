//! The deadline for the first byte of a client, with time that is paused.

mod support;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rcmgr_atomic::{Endpoint, Manager};
use rcmgr_tokio::{Guarded, GuardedStream};
use support::{inbound, unlimited};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, advance, sleep, timeout};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};

const LIMIT: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

/// A stream with a deadline, and its client. So many bytes fit between them.
fn stream(manager: &Manager, room: usize) -> (DuplexStream, GuardedStream<DuplexStream>) {
    let (client, server) = tokio::io::duplex(room);
    let peer: Endpoint = "192.0.2.7:4001".parse().unwrap();
    let stream = GuardedStream::new(server, inbound(manager), peer).first_byte_within(LIMIT);
    (client, stream)
}

/// Reads a byte. If the deadline fails to end that, the test fails and does not hang.
async fn read_late(stream: &mut GuardedStream<DuplexStream>) -> io::Result<u8> {
    timeout(HOUR, stream.read_u8()).await.expect("a deadline")
}

#[track_caller]
fn assert_timed_out<T: std::fmt::Debug>(result: io::Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "no byte arrived from 192.0.2.7:4001 within 10s after the connection was accepted",
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_speaks_gets_its_socket_closed_at_the_deadline() {
    let manager = unlimited();
    let (mut client, mut stream) = stream(&manager, 64);
    let accepted = Instant::now();
    let server = tokio::spawn(async move {
        assert_timed_out(read_late(&mut stream).await);
        assert_timed_out(read_late(&mut stream).await);
        assert_timed_out(stream.write_all(b"x").await);
    });
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(accepted.elapsed(), LIMIT);
    server.await.unwrap();
    assert!(manager.stat().system.is_zero());
}

#[tokio::test(start_paused = true)]
async fn after_the_first_byte_a_client_may_be_silent_for_ever() {
    let (mut client, mut stream) = stream(&unlimited(), 64);
    let talk = tokio::spawn(async move {
        sleep(LIMIT - Duration::from_millis(1)).await;
        client.write_all(b"a").await.unwrap();
        sleep(1000 * HOUR).await;
        client.write_all(b"b").await.unwrap();
    });
    assert_eq!(stream.read_u8().await.unwrap(), b'a');
    assert_eq!(stream.read_u8().await.unwrap(), b'b');
    talk.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_byte_that_has_arrived_counts_even_if_it_is_read_late_or_the_clock_jumps() {
    let (mut client, mut stream) = stream(&unlimited(), 64);
    client.write_all(b"a").await.unwrap();
    advance(1000 * HOUR).await;
    assert_eq!(stream.read_u8().await.unwrap(), b'a');
    advance(1000 * HOUR).await;
    client.write_all(b"b").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'b');
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_accept_and_not_from_the_first_read() {
    let (_client, mut stream) = stream(&unlimited(), 64);
    advance(LIMIT).await;
    let read = Instant::now();
    assert_timed_out(read_late(&mut stream).await);
    assert!(read.elapsed() < Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn a_read_into_no_space_is_not_the_first_byte() {
    let (_client, mut stream) = stream(&unlimited(), 64);
    assert_eq!(stream.read(&mut []).await.unwrap(), 0);
    assert_timed_out(read_late(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_first_still_closes_a_client_that_never_answers() {
    let (mut client, mut stream) = stream(&unlimited(), 64);
    let accepted = Instant::now();
    stream.write_all(b"220 welcome\r\n").await.unwrap();
    assert_timed_out(read_late(&mut stream).await);
    assert_eq!(accepted.elapsed(), LIMIT);
    drop(stream);
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"220 welcome\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_write_to_a_client_that_neither_sends_nor_reads_ends_at_the_deadline() {
    let (_client, mut stream) = stream(&unlimited(), 64);
    let accepted = Instant::now();
    let write = timeout(HOUR, stream.write_all(&[0; 100])).await;
    assert_timed_out(write.expect("a deadline"));
    assert_eq!(accepted.elapsed(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_writes_serves_a_silent_client_that_reads() {
    let (mut client, mut stream) = stream(&unlimited(), 64);
    let server = tokio::spawn(async move {
        for _ in 0..1000 {
            stream.write_all(b"tick").await.unwrap();
            sleep(Duration::from_secs(60)).await;
        }
    });
    let mut ticks = Vec::new();
    client.read_to_end(&mut ticks).await.unwrap();
    assert_eq!(ticks.len(), 4000);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn both_halves_of_a_split_stream_wake_at_the_deadline() {
    let manager = unlimited();
    let (mut client, stream) = stream(&manager, 64);
    let accepted = Instant::now();
    let (mut reader, mut writer) = stream.into_split();
    let read = tokio::spawn(async move { reader.read_u8().await });
    let write = tokio::spawn(async move { writer.write_all(&[0; 100]).await });
    assert_timed_out(timeout(HOUR, read).await.expect("a deadline").unwrap());
    assert_timed_out(timeout(HOUR, write).await.expect("a deadline").unwrap());
    assert_eq!(accepted.elapsed(), LIMIT);
    assert!(manager.stat().system.is_zero());
    client.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_byte_frees_a_write_that_waits_from_the_deadline() {
    let (mut client, stream) = stream(&unlimited(), 64);
    let (mut reader, mut writer) = stream.into_split();
    let write = tokio::spawn(async move { writer.write_all(&[0; 100]).await });
    client.write_all(b"a").await.unwrap();
    assert_eq!(reader.read_u8().await.unwrap(), b'a');
    sleep(HOUR).await;
    let mut said = [0; 100];
    client.read_exact(&mut said).await.unwrap();
    write.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_ends_its_side_is_not_late() {
    let (mut client, mut stream) = stream(&unlimited(), 64);
    client.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    advance(HOUR).await;
    stream.write_all(b"answer").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_no_clock_can_show_is_none() {
    let (mut client, server) = tokio::io::duplex(64);
    let scope = inbound(&unlimited());
    let stream = GuardedStream::new(server, scope, Endpoint::None);
    let mut stream = stream.first_byte_within(Duration::MAX);
    let talk = tokio::spawn(async move {
        sleep(1000 * HOUR).await;
        client.write_all(b"a").await.unwrap();
    });
    assert_eq!(stream.read_u8().await.unwrap(), b'a');
    talk.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_takes_little_memory_and_none_after_the_first_byte() {
    let (mut client, server) = tokio::io::duplex(64);
    let stream = GuardedStream::new(server, inbound(&unlimited()), Endpoint::None);
    let mut stream = Some(stream);
    let armed = allocation_counter::measure(|| {
        let mut with_deadline = stream.take().unwrap().first_byte_within(LIMIT);
        assert_pending!(spawn(&mut with_deadline).enter(poll_read));
        stream = Some(with_deadline);
    });
    assert!((1..=250).contains(&armed.bytes_current), "{armed:?}");

    let mut stream = stream.unwrap();
    client.write_all(b"a").await.unwrap();
    let freed = allocation_counter::measure(|| {
        assert_ready!(spawn(&mut stream).enter(poll_read)).unwrap();
    });
    assert_eq!(freed.bytes_current, -armed.bytes_current);
}

/// One poll of a read.
fn poll_read(
    cx: &mut Context<'_>,
    stream: Pin<&mut &mut GuardedStream<DuplexStream>>,
) -> Poll<io::Result<()>> {
    stream.poll_read(cx, &mut ReadBuf::new(&mut [0; 8]))
}

#[tokio::test]
async fn a_listener_sets_the_deadline_for_each_connection() {
    let manager = unlimited();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limit = Duration::from_millis(20);
    let listener = Guarded::new(listener, manager.clone()).first_byte_within(limit);
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut stream = listener.accept().await;
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(stream);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert!(manager.stat().system.is_zero());
}
