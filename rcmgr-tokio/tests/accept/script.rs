//! A listener in memory that follows a script.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use rcmgr_core::Endpoint;
use rcmgr_tokio::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The result of one call of the listener.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// It accepts a connection from here.
    Socket(Endpoint),
    /// It fails with an error code of the operating system.
    Code(i32),
    /// It fails with an error that has no code.
    Kind(io::ErrorKind),
    /// It has nothing, and wakes the task at once.
    Wait,
}

/// A listener that goes through its steps. After the last one it repeats a step, or has nothing.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    repeated: Option<Step>,
    waker: Option<Waker>,
    calls: Vec<Instant>,
    open: Arc<AtomicUsize>,
    accepted: usize,
}

impl Script {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Self::default();
        script.push(steps);
        script
    }

    /// After its steps, it repeats this one for ever.
    pub fn repeats(self, step: Step) -> Self {
        self.0.lock().unwrap().repeated = Some(step);
        self
    }

    /// Drops the steps that are left, and the one that it repeats.
    pub fn clear(&self) {
        let mut state = self.0.lock().unwrap();
        state.steps.clear();
        state.repeated = None;
    }

    /// More steps, with a wake-up for the last caller.
    pub fn push(&self, steps: impl IntoIterator<Item = Step>) {
        let mut state = self.0.lock().unwrap();
        state.steps.extend(steps);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub fn steps_left(&self) -> usize {
        self.0.lock().unwrap().steps.len()
    }

    /// When it was called.
    pub fn calls(&self) -> Vec<Instant> {
        self.0.lock().unwrap().calls.clone()
    }

    /// How many of its sockets are open.
    pub fn open(&self) -> usize {
        self.0.lock().unwrap().open.load(Ordering::SeqCst)
    }

    /// How many sockets it has handed out.
    pub fn accepted(&self) -> usize {
        self.0.lock().unwrap().accepted
    }
}

impl Accept for Script {
    type Io = Socket;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Endpoint)>> {
        let mut state = self.0.lock().unwrap();
        state.calls.push(Instant::now());
        let step = state.steps.pop_front().or(state.repeated);
        match step {
            Some(Step::Socket(peer)) => {
                state.accepted += 1;
                state.open.fetch_add(1, Ordering::SeqCst);
                Poll::Ready(Ok((Socket(state.open.clone()), peer)))
            }
            Some(Step::Code(code)) => Poll::Ready(Err(io::Error::from_raw_os_error(code))),
            Some(Step::Kind(kind)) => Poll::Ready(Err(io::Error::new(kind, "of a test"))),
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// A socket that counts itself while it is open.
#[derive(Debug)]
pub struct Socket(Arc<AtomicUsize>);

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        panic!("the accept loop reads nothing");
    }
}

impl AsyncWrite for Socket {
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
}

/// A connection without an address.
pub const SOCKET: Step = Step::Socket(Endpoint::None);
