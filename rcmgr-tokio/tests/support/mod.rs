//! Tools of the tests: managers with one limit, and futures that are dropped at every poll.

// Each test program uses some of them.
#![allow(dead_code)]

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, UsesFd};
use rcmgr_tokio::ConnScope;

/// How long a test waits for a condition before it fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A manager without limits.
pub fn unlimited() -> Manager {
    Manager::new(Limits::unlimited()).unwrap()
}

/// A manager that limits only the memory of the system.
pub fn with_memory(bytes: u64) -> Manager {
    let mut limits = Limits::unlimited();
    limits.system.memory = bytes.into();
    Manager::new(limits).unwrap()
}

/// The scope of an inbound connection with a file descriptor.
pub fn inbound(manager: &Manager) -> ConnScope {
    let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    ConnScope::new(connection.unwrap())
}

/// Waits until `holds` is true.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, wait).await;
    assert!(in_time.is_ok(), "{what}: not within {DEADLINE:?}");
}

/// Polls a future at most `polls` times, each time after it was woken, and then drops it. It returns
/// the output if the future was ready by then.
pub async fn poll_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    let run = std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    let in_time = tokio::time::timeout(DEADLINE, run).await;
    in_time.expect("the future is woken until it is ready")
}

/// Runs `round` with 0, 1, 2 ... polls, until a round says that its future was ready. A round makes
/// a future, gives it to [`poll_at_most`], and checks that the drop left nothing behind. It returns the
/// number of polls that the future takes.
pub async fn drop_at_every_poll(mut round: impl AsyncFnMut(usize) -> bool) -> usize {
    for polls in 0..10_000 {
        if round(polls).await {
            return polls;
        }
    }
    panic!("the future is not ready after 10,000 polls");
}
