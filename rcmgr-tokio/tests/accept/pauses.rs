//! The pauses of an accept loop, and its warnings. Time is tokio's, and paused.

use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rcmgr_atomic::{Connection, Manager};
use rcmgr_core::{Direction, Endpoint, Limits, UsesFd};
use rcmgr_testkit::passed_in_own_process;
use rcmgr_tokio::{Accept, ConnScope, Guarded, GuardedStream, WakeAcceptors};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, task};

use crate::log::Warnings;
use crate::script::{SOCKET, Script, Socket, Step};

const EMFILE: Step = Step::Code(libc::EMFILE);

fn guarded(script: &Script) -> Guarded<Script> {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    Guarded::new(script.clone(), manager)
}

fn connection() -> Connection {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let opened = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    opened.unwrap()
}

fn as_millis(span: Duration) -> u128 {
    span.as_millis()
}

#[tokio::test(start_paused = true)]
async fn errors_of_single_connections_never_make_it_pause() {
    let steps = [
        Step::Code(libc::ECONNABORTED),
        Step::Code(libc::ECONNRESET),
        Step::Code(libc::EPROTO),
        Step::Code(libc::ENOPROTOOPT),
        Step::Code(libc::EOPNOTSUPP),
        Step::Code(libc::ENETDOWN),
        Step::Code(libc::ENETUNREACH),
        Step::Code(libc::EHOSTDOWN),
        Step::Code(libc::EHOSTUNREACH),
        Step::Code(libc::EPERM),
        Step::Kind(io::ErrorKind::ConnectionAborted),
        Step::Kind(io::ErrorKind::InvalidData),
        Step::Kind(io::ErrorKind::UnexpectedEof),
        Step::Kind(io::ErrorKind::TimedOut),
    ];
    for step in steps {
        let script = Script::new([step; 5000]);
        script.push([SOCKET]);
        let listener = guarded(&script);
        let start = Instant::now();
        drop(listener.accept().await);
        assert_eq!(start.elapsed(), Duration::ZERO, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_shortage_the_pauses_grow_from_5_to_100_ms() {
    for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        let script = Script::default().repeats(Step::Code(code));
        let listener = guarded(&script);
        let start = Instant::now();
        let accepted = timeout(Duration::from_secs(1), listener.accept()).await;
        accepted.unwrap_err();
        let calls = script.calls();
        let mut at: Vec<u128> = calls.iter().map(|&call| as_millis(call - start)).collect();
        at.dedup();
        // The timers of tokio are exact to the millisecond.
        let pauses: Vec<u128> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let expected = [5, 10, 20, 40, 80, 100, 100, 100, 100];
        assert!(pauses.len() >= expected.len(), "{pauses:?}");
        for (pause, expected) in pauses.iter().zip(expected) {
            assert!((expected..=expected + 1).contains(pause), "{pauses:?}");
        }
        // Once more at the start of each pause, and no other attempts.
        assert!(calls.len() <= 2 * at.len() + 1, "{}", calls.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_of_this_crate_that_is_closed_ends_a_pause_at_once() {
    // Not one of the listener: descriptors belong to the process.
    let (io, _other_end) = tokio::io::duplex(16);
    let other = GuardedStream::new(io, ConnScope::new(connection()), Endpoint::None);
    ends_a_pause_at_once(other).await;
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_behind_a_socket_of_the_program_ends_a_pause_at_once() {
    let (io, _other_end) = tokio::io::duplex(16);
    ends_a_pause_at_once((io, WakeAcceptors)).await;
}

async fn ends_a_pause_at_once<S>(other: S) {
    let script = Script::default().repeats(EMFILE);
    let listener = guarded(&script);
    let accepting = tokio::spawn(async move {
        let stream = listener.accept().await;
        (stream, Instant::now())
    });
    // Until the pauses are at their longest.
    sleep(Duration::from_millis(310)).await;
    script.clear();
    script.push([SOCKET]);
    yield_now().await;
    assert!(
        !accepting.is_finished(),
        "the listener has no descriptor yet"
    );
    let start = Instant::now();
    drop(other);
    let (_stream, accepted_at) = accepting.await.unwrap();
    assert_eq!(accepted_at, start);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_closed_just_before_the_pause_is_not_missed() {
    // The first error says that there is no descriptor. By the second attempt one is free.
    let script = Script::new([EMFILE, SOCKET]);
    let listener = guarded(&script);
    let start = Instant::now();
    drop(listener.accept().await);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlives_the_future_that_began_it() {
    let script = Script::default().repeats(EMFILE);
    let listener = guarded(&script);
    for _ in 0..100 {
        // A loop that drops `accept` again and again must not try each time.
        let accepted = timeout(Duration::from_millis(1), listener.accept()).await;
        accepted.unwrap_err();
    }
    assert!(script.calls().len() < 20, "{}", script.calls().len());
}

#[tokio::test(start_paused = true)]
async fn a_shortage_is_logged_once_and_its_end_once() {
    if passed_in_own_process("pauses::a_shortage_is_logged_once_and_its_end_once") {
        return;
    }
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let script = Script::default();
    let listener = guarded(&script);
    // At its limit: each connection that is accepted takes the last descriptor.
    for _ in 0..50 {
        script.push([EMFILE, EMFILE, EMFILE, SOCKET]);
        drop(listener.accept().await);
    }
    let [began] = <[String; 1]>::try_from(warnings.take()).unwrap();
    assert!(began.contains("wait for a free file descriptor"), "{began}");
    let limit = rlimit::Resource::NOFILE.get_soft().unwrap();
    let numbers = format!("of {limit} file descriptors open. Raise RLIMIT_NOFILE");
    assert!(began.contains(&numbers), "{began}");

    // No connection arrives after it, and still the end is logged.
    let accepted = timeout(Duration::from_secs(5), listener.accept()).await;
    accepted.unwrap_err();
    let [ended] = <[String; 1]>::try_from(warnings.take()).unwrap();
    assert!(ended.contains("is over after"), "{ended}");
    assert!(ended.contains("50 connections were accepted"), "{ended}");

    // The next one is another episode.
    script.push([EMFILE, EMFILE, SOCKET]);
    drop(listener.accept().await);
    assert_eq!(warnings.take().len(), 1);
    sleep(Duration::from_secs(5)).await;
    script.push([SOCKET]);
    drop(listener.accept().await);
    let [ended] = <[String; 1]>::try_from(warnings.take()).unwrap();
    assert!(ended.contains("is over after"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn the_log_names_the_shortage() {
    if passed_in_own_process("pauses::the_log_names_the_shortage") {
        return;
    }
    for (code, missing) in [
        (
            libc::ENFILE,
            "wait for a free file descriptor of the machine: ",
        ),
        (libc::ENOBUFS, "wait for free memory of the machine: "),
        (libc::ENOMEM, "wait for free memory of the machine: "),
    ] {
        let warnings = Warnings::default();
        let _guard = tracing::subscriber::set_default(warnings.clone());
        let script = Script::new([Step::Code(code), SOCKET]);
        drop(guarded(&script).accept().await);
        let [began] = <[String; 1]>::try_from(warnings.take()).unwrap();
        assert!(began.contains(missing), "{began}");
        assert!(!began.contains("RLIMIT_NOFILE"), "{began}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_listener_does_not_spin_and_is_logged_once() {
    if passed_in_own_process("pauses::a_broken_listener_does_not_spin_and_is_logged_once") {
        return;
    }
    for step in [Step::Code(libc::EBADF), Step::Kind(io::ErrorKind::Other)] {
        let warnings = Warnings::default();
        let _guard = tracing::subscriber::set_default(warnings.clone());
        let script = Script::default().repeats(step);
        let listener = guarded(&script);
        let accepted = timeout(Duration::from_secs(1), listener.accept()).await;
        accepted.unwrap_err();
        let calls = script.calls().len();
        assert!(calls <= 256 * 201, "{calls}");
        let warned = warnings.take();
        assert_eq!(warned.len(), 1, "{warned:?}");
        // It works again.
        script.clear();
        script.push([SOCKET]);
        drop(listener.accept().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_unknown_errors_make_no_pause() {
    let script = Script::new([Step::Kind(io::ErrorKind::Other); 200]);
    script.push([SOCKET]);
    let listener = guarded(&script);
    let start = Instant::now();
    drop(listener.accept().await);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// A listener that does something during its next call.
#[derive(Default)]
struct Meanwhile {
    script: Script,
    action: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Accept for Meanwhile {
    type Io = Socket;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Endpoint)>> {
        let action = self.action.lock().unwrap().take();
        if let Some(action) = action {
            action();
        }
        self.script.poll_accept(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_in_a_pause_goes_on_when_another_one_accepts() {
    let script = Script::new([EMFILE, EMFILE, SOCKET, SOCKET]);
    let listener = Meanwhile {
        script,
        ..Meanwhile::default()
    };
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let listener = Arc::new(Guarded::new(listener, manager));
    let paused = Arc::new(Mutex::new(task::spawn({
        let listener = listener.clone();
        Box::pin(async move { listener.accept().await })
    })));
    // While one task accepts, the other one runs out of descriptors, and pauses.
    let pauses = paused.clone();
    let action = move || assert_pending!(pauses.lock().unwrap().poll());
    *listener.listener().action.lock().unwrap() = Some(Box::new(action));
    drop(listener.accept().await);
    let mut paused = paused.lock().unwrap();
    assert!(paused.is_woken());
    assert_ready!(paused.poll());
}
