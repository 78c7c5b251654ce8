//! `accept` that is dropped before it is ready, and several tasks that accept.

use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_core::Limits;
use rcmgr_tokio::Guarded;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;
use tokio_test::{assert_pending, assert_ready, task};

use crate::script::{SOCKET, Script, Step};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn accept_that_is_dropped_at_any_poll_loses_no_socket_and_no_scope() {
    let steps = [
        Step::Wait,
        Step::Code(libc::ECONNABORTED),
        Step::Wait,
        SOCKET,
        Step::Code(libc::EMFILE),
        Step::Code(libc::EMFILE),
        Step::Wait,
        SOCKET,
        Step::Wait,
        // The third is over the limit.
        SOCKET,
        Step::Wait,
    ];
    // How many polls each future gets until it is dropped.
    for polls in 1..=6 {
        let mut limits = Limits::unlimited();
        limits.system.conns_inbound = 2.into();
        let manager = Manager::new(limits).unwrap();
        let script = Script::new(steps);
        let listener = Guarded::new(script.clone(), manager.clone()).service("web");
        let mut streams = Vec::new();
        while script.steps_left() > 0 {
            let mut accept = task::spawn(listener.accept());
            for _ in 0..polls {
                if let std::task::Poll::Ready(stream) = accept.poll() {
                    streams.push(stream);
                    break;
                }
            }
            drop(accept);
            tokio::time::advance(Duration::from_millis(1)).await;
            // Each socket is with the caller or was refused, whenever it is dropped.
            let refused = manager.view_system().refusals().total() as usize;
            assert_eq!(script.accepted(), streams.len() + refused, "{polls}");
            assert_eq!(script.open(), streams.len(), "{polls}");
            let counted = manager.stat().system.conns_inbound;
            assert_eq!(counted, streams.len() as u64, "{polls}");
        }
        assert_eq!(streams.len(), 2, "{polls}");
        drop(streams);
        assert!(manager.stat().system.is_zero());
        assert_eq!(script.open(), 0);
    }
}

#[tokio::test]
async fn accept_in_a_select_that_others_win_serves_every_client() {
    const CLIENTS: usize = 200;
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Guarded::new(listener, manager.clone());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_u8(7).await.unwrap();
            client.read_u8().await
        });
    }
    let mut served = JoinSet::new();
    let mut lost = 0;
    timeout(LONG, async {
        while served.len() < CLIENTS {
            tokio::select! {
                mut stream = listener.accept() => {
                    served.spawn(async move {
                        let byte = stream.read_u8().await.unwrap();
                        stream.write_u8(byte).await.unwrap();
                    });
                }
                () = yield_now() => lost += 1,
            }
        }
    })
    .await
    .unwrap();
    assert!(lost > 0);
    served.join_all().await;
    for answer in clients.join_all().await {
        assert_eq!(answer.unwrap(), 7);
    }
    assert!(manager.stat().system.is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_that_comes_during_an_attempt_is_not_lost() {
    let script = Script::new([Step::Wait, SOCKET]);
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let listener = Guarded::new(script, manager);
    let _stream = timeout(LONG, listener.accept()).await.unwrap();
}

#[test]
fn a_wake_up_reaches_each_task_that_accepts() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let script = Script::default();
    let listener = Guarded::new(script.clone(), manager);
    let mut tasks = [(); 3].map(|()| task::spawn(listener.accept()));
    for task in &mut tasks {
        assert_pending!(task.poll());
    }
    script.push([SOCKET, SOCKET]);
    assert!(tasks.iter().all(task::Spawn::is_woken));
    let [first, second, third] = &mut tasks;
    // The first one was woken and is not polled. The others do not wait for it.
    let _streams = [assert_ready!(second.poll()), assert_ready!(third.poll())];
    assert_pending!(first.poll());
    script.push([SOCKET]);
    assert!(first.is_woken());
    let _stream = assert_ready!(first.poll());
}

#[test]
fn a_dropped_task_leaves_the_wake_up_to_the_others() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let script = Script::default();
    let listener = Guarded::new(script.clone(), manager);
    let mut stays = task::spawn(listener.accept());
    assert_pending!(stays.poll());
    // The listener keeps the waker of its last caller only.
    let mut goes = task::spawn(listener.accept());
    assert_pending!(goes.poll());
    drop(goes);
    script.push([SOCKET]);
    assert!(stays.is_woken());
    let _stream = assert_ready!(stays.poll());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tasks_accept_side_by_side() {
    const TASKS: usize = 4;
    const CLIENTS: usize = 100;
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Arc::new(Guarded::new(listener, manager.clone()));
    let mut servers = JoinSet::new();
    for _ in 0..TASKS {
        let listener = listener.clone();
        servers.spawn(async move {
            loop {
                listener.accept().await.write_u8(7).await.unwrap();
            }
        });
    }
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(address).await.unwrap();
        let answer = timeout(LONG, client.read_u8()).await.unwrap();
        assert_eq!(answer.unwrap(), 7);
    }
    servers.shutdown().await;
    assert!(manager.stat().system.is_zero());
}
