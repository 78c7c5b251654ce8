//! The graceful end of a server.

mod support;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rcmgr_atomic::{Endpoint, Manager};
use rcmgr_tokio::{Graceful, Guarded, GuardedStream};
use support::{drop_at_every_poll, eventually, inbound, poll_at_most, unlimited};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};

const WITHIN: Duration = Duration::from_secs(30);

fn peer(last: u8) -> Endpoint {
    Endpoint::from(std::net::IpAddr::from([192, 0, 2, last]))
}

/// A connection that a graceful end counts, and its client.
fn counted(
    manager: &Manager,
    graceful: &Graceful,
    last: u8,
) -> (DuplexStream, GuardedStream<DuplexStream>) {
    let (client, server) = tokio::io::duplex(64);
    let stream = GuardedStream::new(server, inbound(manager), peer(last));
    (client, stream.ended_by(graceful))
}

#[tokio::test(start_paused = true)]
async fn an_end_with_nothing_open_is_over_at_once() {
    let begin = Instant::now();
    Graceful::new().end(&unlimited(), WITHIN).await.unwrap();
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn connections_get_notice_and_the_end_waits_for_the_last_one() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let mut clients = Vec::new();
    for i in 1..=5_u8 {
        let (client, mut stream) = counted(&manager, &graceful, i);
        clients.push(client);
        let notice = graceful.notice();
        graceful.spawn(async move {
            notice.cancelled().await;
            sleep(Duration::from_secs(i.into())).await;
            stream.write_all(b"bye").await.unwrap();
        });
    }
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(manager.stat().system.conns_inbound, 5);
    let begin = Instant::now();
    graceful.end(&manager, WITHIN).await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    assert!(manager.stat().system.is_zero());
    for mut client in clients {
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"bye");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_ignore_the_notice_are_cut_at_the_deadline_in_any_task() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    // A task of a framework that waits for its client.
    let (mut idle_client, mut idle) = counted(&manager, &graceful, 1);
    let idle = tokio::spawn(async move { idle.read_u8().await });
    // One that is never idle.
    let (mut busy_client, mut busy) = counted(&manager, &graceful, 2);
    let busy = tokio::spawn(async move {
        loop {
            if let Err(error) = busy.write_all(b"x").await {
                return error;
            }
        }
    });
    let drain = tokio::spawn(async move { busy_client.read_to_end(&mut Vec::new()).await });
    // One that no task reads from, in a task of the end.
    let (mut stuck_client, stuck) = counted(&manager, &graceful, 3);
    let stuck = graceful.spawn(async move {
        std::future::pending::<()>().await;
        drop(stuck);
    });

    let begin = Instant::now();
    // The busy one keeps the paused clock from moving on.
    let within = async {
        tokio::time::advance(WITHIN).await;
    };
    let (left, ()) = tokio::join!(graceful.end(&manager, WITHIN), within);
    let mut left = left.unwrap_err();
    assert!(begin.elapsed() < WITHIN + Duration::from_millis(10));
    left.connections.sort_by_key(ToString::to_string);
    assert_eq!(left.connections, [peer(1), peer(2), peer(3)]);
    assert_eq!((left.tasks, left.hanging_tasks), (1, 0));
    assert!(left.hanging.is_empty());
    assert!(left.stat.system.is_zero());
    assert!(manager.stat().system.is_zero());

    for error in [idle.await.unwrap().unwrap_err(), busy.await.unwrap()] {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
    assert_eq!(stuck.await.unwrap(), None);
    drain.await.unwrap().unwrap();
    assert_eq!(idle_client.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(stuck_client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn both_halves_of_a_split_connection_are_cut() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let (_client, stream) = counted(&manager, &graceful, 1);
    let (mut reader, mut writer) = stream.into_split();
    let read = tokio::spawn(async move { reader.read_u8().await.unwrap_err() });
    let write = tokio::spawn(async move { writer.write_all(&[0; 100]).await.unwrap_err() });
    let left = graceful.end(&manager, WITHIN).await.unwrap_err();
    assert_eq!(left.connections, [peer(1)]);
    assert!(left.hanging.is_empty());
    let both = timeout(WITHIN, async { [read.await, write.await] }).await;
    for error in both.expect("both are cut") {
        let error = error.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}

#[tokio::test]
async fn an_operation_that_need_not_wait_fails_after_the_cut_too() {
    let graceful = Graceful::new();
    let stream = GuardedStream::new(tokio::io::empty(), inbound(&unlimited()), peer(1));
    let mut stream = stream.ended_by(&graceful);
    stream.write_all(b"x").await.unwrap();
    graceful.cut();
    stream.write_all(b"x").await.unwrap_err();
    stream.read(&mut [0]).await.unwrap_err();
    stream.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_waits_for_its_client_is_cut() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let stream = GuardedStream::new(Stuck, inbound(&manager), peer(1));
    let mut stream = stream.ended_by(&graceful);
    let shutdown = tokio::spawn(async move { stream.shutdown().await.unwrap_err() });
    graceful.end(&manager, WITHIN).await.unwrap_err();
    let error = timeout(WITHIN, shutdown).await.expect("it is cut").unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert!(manager.stat().system.is_zero());
}

/// A socket on which each write and each shutdown waits for ever.
struct Stuck;

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_blocks_its_thread_is_reported() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let (_client, stream) = counted(&manager, &graceful, 7);
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (entered, begun) = tokio::sync::oneshot::channel();
    graceful.spawn(async move {
        entered.send(()).unwrap();
        blocked.recv().unwrap_err();
        drop(stream);
    });
    begun.await.unwrap();
    let left = graceful.end(&manager, Duration::ZERO).await.unwrap_err();
    assert_eq!(
        (left.hanging.as_slice(), left.hanging_tasks),
        (&[peer(7)][..], 1)
    );
    assert_eq!(
        left.to_string(),
        "cut at the deadline: connections 1, tasks 1; still there after the cut: connections 1, \
         tasks 1; in use: connections 1 in 0 out, streams 0 in 0 out, 1 fds, 0 bytes",
    );
    drop(release);
    graceful.end(&manager, support::DEADLINE).await.unwrap();
    assert!(manager.stat().system.is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_cuts_at_once() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let (_client, mut stream) = counted(&manager, &graceful, 1);
    let read = tokio::spawn(async move { stream.read_u8().await.unwrap_err() });
    let begin = Instant::now();
    let second = async {
        sleep(Duration::from_secs(1)).await;
        graceful.cut();
    };
    let (ended, ()) = tokio::join!(graceful.end(&manager, WITHIN), second);
    ended.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(1));
    read.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_arrives_after_the_cut_is_cut() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    graceful.cut();
    let (_client, mut stream) = counted(&manager, &graceful, 1);
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    let task = graceful.spawn(std::future::ready(()));
    assert_eq!(task.await.unwrap(), None);
}

#[tokio::test]
async fn an_end_that_has_begun_accepts_no_connection() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Guarded::new(listener, manager.clone());
    let client = TcpStream::connect(address).await.unwrap();
    let stream = graceful.accept(&listener).await.unwrap();
    assert_eq!(stream.peer(), client.local_addr().unwrap().into());

    let mut accept = spawn(graceful.accept(&listener));
    assert_pending!(accept.poll());
    let mut end = spawn(graceful.end(&manager, WITHIN));
    assert_pending!(end.poll());
    assert!(accept.is_woken());
    assert!(assert_ready!(accept.poll()).is_none());
    let _late = TcpStream::connect(address).await.unwrap();
    assert!(graceful.accept(&listener).await.is_none());
    assert_eq!(manager.stat().system.conns_inbound, 1);

    drop(stream);
    assert!(end.is_woken());
    assert_ready!(end.poll()).unwrap();
}

#[tokio::test]
async fn an_accept_that_is_dropped_at_any_poll_loses_no_connection() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Guarded::new(listener, manager.clone()).ended_by(&graceful);
    let accepting = async |polls: usize| {
        let stream = poll_at_most(polls, graceful.accept(&listener)).await;
        assert_eq!(manager.stat().system.is_zero(), stream.is_none());
        stream.is_some()
    };
    // None is there yet.
    assert!(!accepting(1).await);
    let client = TcpStream::connect(address).await.unwrap();
    drop_at_every_poll(accepting).await;
    drop(client);
    graceful.end(&manager, WITHIN).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_dropped_at_any_poll_can_be_called_again() {
    let manager = unlimited();
    drop_at_every_poll(async |polls| {
        let graceful = Graceful::new();
        let (_client, mut stream) = counted(&manager, &graceful, 1);
        let task = graceful.spawn(async move { stream.read_u8().await });
        let end = poll_at_most(polls, graceful.end(&manager, Duration::from_secs(1))).await;
        let is_ready = end.is_some();
        assert_eq!(graceful.notice().is_cancelled(), polls > 0);
        let again = graceful.end(&manager, Duration::from_secs(1)).await;
        // The first poll gives notice, the second one cuts.
        assert_eq!(again.is_err(), polls < 2);
        task.await.unwrap();
        assert!(manager.stat().system.is_zero());
        is_ready
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_a_task_is_no_obstacle_to_the_end() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let (_client, stream) = counted(&manager, &graceful, 1);
    let task = graceful.spawn(async move {
        let _stream = stream;
        panic!("a bug of a task, on purpose");
    });
    let never: Result<Option<()>, _> = task.await;
    assert!(never.unwrap_err().is_panic());
    graceful.end(&manager, WITHIN).await.unwrap();
    eventually("zero", || manager.stat().system.is_zero()).await;
}

#[tokio::test(start_paused = true)]
async fn a_counted_connection_that_waits_takes_little_memory() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    // The list of connections has room by now.
    let _other = counted(&manager, &graceful, 1);
    let (_client, server) = tokio::io::duplex(64);
    let mut stream = Some(GuardedStream::new(server, inbound(&manager), peer(2)));
    let taken = allocation_counter::measure(|| {
        let mut counted = stream.take().unwrap().ended_by(&graceful);
        assert_pending!(spawn(counted.read_u8()).poll());
        stream = Some(counted);
    });
    assert!((1..=350).contains(&taken.bytes_current), "{taken:?}");
}
