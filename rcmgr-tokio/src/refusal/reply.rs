//! Short replies to refused clients, and the wait until each has arrived.
//!
//! A socket that is closed with unread bytes sends a reset, and a client that gets a reset may lose the
//! bytes that it has not read yet. So after the reply only the sending side is shut down. Bytes from the
//! client are read and dropped until it closes, within bounds.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::refused::Refused;

/// How many sockets of a listener may wait for the end of the client at a time.
pub(super) const MOST_SOCKETS: usize = 64;
/// How long a socket waits at most.
const LONGEST: Duration = Duration::from_secs(1);
/// How many bytes a socket reads and throws away at most.
const MOST_BYTES: usize = 64 * 1024;

/// The replies of one listener.
#[derive(Debug)]
pub(crate) struct Replies {
    free: Arc<Semaphore>,
}

impl Replies {
    pub(crate) fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(MOST_SOCKETS)),
        }
    }

    /// Sends a reply, and closes the socket when it has arrived.
    pub(crate) fn send<S>(&self, mut refused: Refused<S>, reply: Bytes)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let runtime = Handle::try_current();
        let (Ok(permit), Ok(runtime)) = (self.free.clone().try_acquire_owned(), runtime) else {
            send_at_once(&mut refused.io, &reply);
            return;
        };
        runtime.spawn(async move {
            // An error means that the client is gone, and the end of the time that it is too slow.
            let _ = timeout(LONGEST, send_and_drain(&mut refused.io, &reply)).await;
            // The permit is for the socket, so the socket goes first.
            drop(refused);
            drop(permit);
        });
    }
}

async fn send_and_drain<S>(socket: &mut S, reply: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.write_all(reply).await?;
    socket.shutdown().await?;
    let mut buffer = [0; 2048];
    let mut left = MOST_BYTES;
    while left > 0 {
        let read = socket.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        left = left.saturating_sub(read);
    }
    Ok(())
}

/// Sends as much of a reply as there is room for, which is the whole of a short one.
fn send_at_once<S: AsyncWrite + Unpin>(socket: &mut S, reply: &[u8]) {
    let mut cx = Context::from_waker(Waker::noop());
    let sent = pin!(socket.write_all(reply)).poll(&mut cx);
    if let Poll::Ready(Ok(())) = sent {
        // The close that follows does the same if this does not.
        let _ = Pin::new(socket).poll_shutdown(&mut cx);
    }
}
