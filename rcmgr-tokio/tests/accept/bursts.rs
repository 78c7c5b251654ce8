//! A burst of connections, beside tasks that have work to do.

use rcmgr_atomic::Manager;
use rcmgr_core::Limits;
use rcmgr_tokio::Guarded;
use tokio::task::yield_now;

use crate::script::{SOCKET, Script, Step};

/// At most how many calls of the listener may lie between two turns of another task.
const MOST: usize = 32;

/// Runs an accept loop without end beside another task. Returns the most calls of the listener between
/// two turns of that task.
async fn most_between_turns(limits: Limits, step: Step) -> usize {
    let script = Script::default().repeats(step);
    let listener = Guarded::new(script.clone(), Manager::new(limits).unwrap());
    let accepting = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let mut calls = Vec::new();
    while script.calls().len() < 2000 {
        calls.push(script.calls().len());
        yield_now().await;
    }
    accepting.abort();
    let between = calls.windows(2).map(|pair| pair[1] - pair[0]);
    between.max().unwrap()
}

#[tokio::test]
async fn a_burst_of_admitted_connections_lets_others_have_their_turn() {
    let most = most_between_turns(Limits::unlimited(), SOCKET).await;
    assert!((1..=MOST).contains(&most), "{most}");
}

#[tokio::test]
async fn a_burst_of_refused_connections_lets_others_have_their_turn() {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 0.into();
    let most = most_between_turns(limits, SOCKET).await;
    assert!((1..=MOST).contains(&most), "{most}");
}

#[tokio::test]
async fn a_burst_of_failed_connections_lets_others_have_their_turn() {
    let aborted = Step::Code(libc::ECONNABORTED);
    let most = most_between_turns(Limits::unlimited(), aborted).await;
    assert!((1..=MOST).contains(&most), "{most}");
}
