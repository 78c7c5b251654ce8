//! A listener made of an `async` function.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rcmgr_core::{Endpoint, UsesFd};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Accept;

/// A listener made of an `async` function that accepts one connection. The adapter keeps a future
/// that is not ready, so that accepting is cancel-safe even if the function is not.
///
/// ```
/// use std::sync::Arc;
///
/// use rcmgr_core::Endpoint;
/// use rcmgr_tokio::AcceptFuture;
/// use tokio::net::TcpListener;
///
/// # async fn example() -> std::io::Result<()> {
/// let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await?);
/// let listener = AcceptFuture::new(move || {
///     let listener = listener.clone();
///     async move {
///         let (stream, remote) = listener.accept().await?;
///         stream.set_nodelay(true)?;
///         Ok((stream, Endpoint::from(remote)))
///     }
/// })
/// .reset_on_close(|stream| stream.set_zero_linger());
/// # Ok(())
/// # }
/// ```
pub struct AcceptFuture<F, T, S> {
    uses_fd: UsesFd,
    reset_on_close: fn(&S) -> io::Result<()>,
    state: Mutex<State<F, T>>,
}

struct State<F, T> {
    accept: F,
    /// The future of the connection that is awaited.
    pending: Option<Pin<Box<T>>>,
}

impl<F, T, S> AcceptFuture<F, T, S>
where
    F: FnMut() -> T + Send,
    T: Future<Output = io::Result<(S, Endpoint)>> + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// A listener whose connections are those that `accept` returns. Each uses a file descriptor.
    pub fn new(accept: F) -> Self {
        let pending = None;
        Self {
            uses_fd: UsesFd::Yes,
            reset_on_close: |_| Ok(()),
            state: Mutex::new(State { accept, pending }),
        }
    }

    /// Says whether each connection uses a file descriptor of its own.
    #[must_use]
    pub fn uses_fd(mut self, uses_fd: UsesFd) -> Self {
        self.uses_fd = uses_fd;
        self
    }

    /// Says how the close of a socket is made a reset: see [`Accept::reset_on_close`].
    #[must_use]
    pub fn reset_on_close(mut self, reset: fn(&S) -> io::Result<()>) -> Self {
        self.reset_on_close = reset;
        self
    }
}

impl<F, T, S> Accept for AcceptFuture<F, T, S>
where
    F: FnMut() -> T + Send,
    T: Future<Output = io::Result<(S, Endpoint)>> + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = S;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(S, Endpoint)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { accept, pending } = &mut *state;
        let future = pending.get_or_insert_with(|| Box::pin(accept()));
        let accepted = ready!(future.as_mut().poll(cx));
        *pending = None;
        Poll::Ready(accepted)
    }

    fn uses_fd(&self) -> UsesFd {
        self.uses_fd
    }

    fn reset_on_close(&self, io: &S) -> io::Result<()> {
        (self.reset_on_close)(io)
    }
}

impl<F, T, S> fmt::Debug for AcceptFuture<F, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptFuture")
            .field("uses_fd", &self.uses_fd)
            .finish_non_exhaustive()
    }
}
