//! Streams whose remote seems not to read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use libp2p::futures::task::AtomicWaker;
use libp2p::futures::{AsyncRead, AsyncWrite};

/// While it is closed, nothing can be written, as with full buffers.
#[derive(Debug, Default, Clone)]
pub struct Gate(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_closed: AtomicBool,
    is_waited_for: AtomicBool,
    waiter: AtomicWaker,
}

impl Gate {
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.0.is_closed.store(false, Ordering::SeqCst);
        self.0.waiter.wake();
    }

    /// Whether a write has found it closed.
    pub fn is_waited_for(&self) -> bool {
        self.0.is_waited_for.load(Ordering::SeqCst)
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.waiter.register(cx.waker());
        let is_closed = self.0.is_closed.load(Ordering::SeqCst);
        self.0.is_waited_for.store(is_closed, Ordering::SeqCst);
        match is_closed {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }
}

/// A stream behind a gate.
#[derive(Debug)]
pub struct Stalled<S>(pub S, pub Gate);

impl<S: AsyncRead + Unpin> AsyncRead for Stalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.1.poll_open(cx));
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.1.poll_open(cx));
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.1.poll_open(cx));
        Pin::new(&mut self.0).poll_close(cx)
    }
}
