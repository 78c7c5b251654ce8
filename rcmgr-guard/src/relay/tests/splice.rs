//! Bytes that move inside the kernel.

use super::super::pipe::{CAPACITY, PIPES_PER_THREAD, Pipe, pool};
use super::*;

const MIB: usize = 1 << 20;

/// Sends random bytes to the backend and checks them there. Then the session must end.
async fn transfer(mut session: Session, bytes: usize) {
    let mut sent = vec![0; bytes];
    fastrand::fill(&mut sent);
    let mut got = Vec::new();
    let send = async {
        session.client.write_all(&sent).await.unwrap();
        session.client.shutdown().await.unwrap();
    };
    let receive = session.backend.read_to_end(&mut got);
    let (received, ()) = in_time("the transfer", async { tokio::join!(receive, send) }).await;
    assert_eq!(received.unwrap(), bytes);
    assert!(sent == got);
    session.backend.shutdown().await.unwrap();
    assert!(matches!(session.ended().await, Ended::Both));
}

// All tasks of a test run on its thread, which has a pool of its own.

#[tokio::test]
async fn many_bytes_go_through_a_pipe_that_is_idle_afterwards() {
    let manager = unlimited();
    let session = Session::start(&manager, b"", true).await;
    let activity = Arc::clone(&session.activity);
    transfer(session, 16 * MIB).await;
    assert_eq!(pool(), (1, 1));
    // Those that never waited in the pipe included.
    assert_eq!(activity.to_backend(), 16 * MIB as u64);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn few_bytes_and_sessions_that_do_not_splice_need_no_pipe() {
    let manager = unlimited();
    transfer(Session::start(&manager, b"", true).await, MIB / 2).await;
    transfer(Session::start(&manager, b"", false).await, 16 * MIB).await;
    assert_eq!(pool(), (0, 0));
}

#[tokio::test]
async fn without_a_pipe_the_bytes_are_copied() {
    let pipes = Vec::from_iter(std::iter::from_fn(Pipe::take));
    assert_eq!(pipes.len(), PIPES_PER_THREAD);
    let session = Session::start(&unlimited(), b"", true).await;
    transfer(session, 16 * MIB).await;
    drop(pipes);
    assert_eq!(pool(), (PIPES_PER_THREAD, PIPES_PER_THREAD));
}

/// Sends and receives until the direction has moved enough, and its bytes wait in a pipe.
async fn stall_in_a_pipe(session: &mut Session) {
    let mut buffer = vec![0; MIB];
    for _ in 0..100 {
        stuff(&session.client).await;
        if pool() == (0, 1) {
            return;
        }
        in_time("a read", session.backend.read_exact(&mut buffer))
            .await
            .unwrap();
    }
    panic!("no pipe was used: {:?}", pool());
}

#[tokio::test]
async fn bytes_in_a_pipe_are_charged_and_the_pipe_is_closed_with_them() {
    let manager = unlimited();
    let mut session = Session::start(&manager, b"", true).await;
    stall_in_a_pipe(&mut session).await;
    let held = memory(&manager);
    assert!(0 < held && held <= CAPACITY as u64, "{held} bytes");
    reset(session.client);
    let ended = in_time("the end of the relay", session.relay)
        .await
        .unwrap();
    assert!(matches!(ended, Ended::ClientFailed(_)), "{ended:?}");
    assert_eq!(pool(), (0, 0));
    expect_reset(&mut session.backend).await;
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn bytes_that_go_through_a_pipe_count_as_activity() {
    let mut session = Session::start(&unlimited(), b"", true).await;
    stall_in_a_pipe(&mut session).await;
    let last = session.activity.last();
    assert_eq!(session.activity.last(), last);
    let mut buffer = vec![0; MIB];
    in_time("a read", session.backend.read_exact(&mut buffer))
        .await
        .unwrap();
    eventually("activity", || session.activity.last() > last).await;
}
