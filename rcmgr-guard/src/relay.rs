//! Moves the bytes of a session both ways between its two sockets.
//!
//! A relay that waits has no buffer. When a socket is readable, the relay reads into the buffer of the
//! thread and writes to the other socket at once. Only the bytes that the other socket does not take are
//! kept, in memory that is charged to the connection of the client. While a direction keeps bytes, it
//! reads no others, so its memory is bounded by the size of a read.
//!
//! The memory for a read is reserved before the read. If it is refused, the bytes stay in the socket
//! until the other side has taken them, so no byte is lost and nothing is cut.
//!
//! With splice, a direction that has moved many bytes goes through a pipe of the thread's pool instead of
//! the buffer. The bytes that stay in a pipe are charged in the same way.

mod activity;
mod buffer;
mod direction;
#[cfg(not(target_os = "linux"))]
mod no_pipe;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use rcmgr_atomic::Connection;
use tokio::net::TcpStream;

pub(crate) use self::activity::{Activity, Cut, Side};
use self::direction::{Direction, Failure, Shared};
#[cfg(not(target_os = "linux"))]
use self::no_pipe::PIPES_PER_THREAD;
#[cfg(target_os = "linux")]
use self::pipe::PIPES_PER_THREAD;

/// How many file descriptors the pipes of a thread use at most, if a listener splices.
pub(crate) const PIPE_DESCRIPTORS: usize = 2 * PIPES_PER_THREAD;

/// How a session ended. The [`Activity`] has the numbers of bytes.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Both sides have sent their end, and all bytes were passed on.
    Both,
    /// The session was cut.
    Cut(Cut),
    /// The client's connection failed, such as by a reset.
    ClientFailed(io::Error),
    /// The backend's connection failed, such as by a reset.
    BackendFailed(io::Error),
}

/// Moves bytes both ways until both directions have ended, a side fails, or the session is cut. The
/// caller drops both sockets then.
///
/// The bytes of `first` are the client's, and go first. Kept bytes are charged to `scope`. With `splice`,
/// a direction with many bytes moves them inside the kernel, where it can.
///
/// The end of one side is passed on to the other, and the opposite direction goes on. If a side fails,
/// the other gets a reset when its socket is dropped. It gets an orderly end instead if the side that
/// failed had sent its own end before, because a reset would destroy bytes that are on their way.
pub(crate) fn relay<'a>(
    client: &'a TcpStream,
    backend: &'a TcpStream,
    first: Bytes,
    scope: &'a Connection,
    activity: &'a Activity,
    splice: bool,
) -> Relay<'a> {
    if !first.is_empty() {
        activity.received(Side::Client);
    }
    Relay {
        client,
        backend,
        up: Direction::new(Side::Client, client, backend, first, splice),
        down: Direction::new(Side::Backend, backend, client, Bytes::new(), splice),
        shared: Shared { scope, activity },
    }
}

/// The future of [`relay`]. One that is dropped leaves nothing charged.
#[derive(Debug)]
pub(crate) struct Relay<'a> {
    client: &'a TcpStream,
    backend: &'a TcpStream,
    /// From the client to the backend.
    up: Direction<'a>,
    /// From the backend to the client.
    down: Direction<'a>,
    shared: Shared<'a>,
}

impl Future for Relay<'_> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        if let Poll::Ready(why) = this.shared.activity.poll_cut(cx) {
            return Poll::Ready(this.cut(why));
        }
        match this.poll_both(cx) {
            Ok(true) => Poll::Ready(Ended::Both),
            Ok(false) => Poll::Pending,
            Err((side, failure)) => Poll::Ready(this.failed(side, failure)),
        }
    }
}

impl Relay<'_> {
    /// Moves bytes in both directions. Returns whether both have ended. A failure comes with the side
    /// that the direction reads from.
    fn poll_both(&mut self, cx: &mut Context<'_>) -> Result<bool, (Side, Failure)> {
        let Self { up, down, .. } = self;
        let were_open = !up.ended() && !down.ended();
        if !up.ended()
            && let Poll::Ready(Err(failure)) = up.poll(cx, self.shared, down.ended())
        {
            return Err((Side::Client, failure));
        }
        if !down.ended()
            && let Poll::Ready(Err(failure)) = down.poll(cx, self.shared, up.ended())
        {
            return Err((Side::Backend, failure));
        }
        if up.ended() && down.ended() {
            return Ok(true);
        }
        // A side that has sent its end can still be reset, and nothing is read from it.
        for (side, direction) in [(Side::Client, &mut *up), (Side::Backend, &mut *down)] {
            if direction.ended() {
                if were_open {
                    self.shared.activity.half_close();
                }
                if let Poll::Ready(Err(failure)) = direction.poll_reset(cx) {
                    return Err((side, failure));
                }
            }
        }
        Ok(false)
    }

    fn cut(&self, why: Cut) -> Ended {
        // An orderly end would make a side believe that it has all bytes.
        if why.resets() || self.up.keeps() || self.down.keeps() {
            reset_on_drop(self.client);
            reset_on_drop(self.backend);
        }
        Ended::Cut(why)
    }

    fn failed(&self, side: Side, failure: Failure) -> Ended {
        let (failed, error) = match (side, failure) {
            (_, Failure::NoMemory) => return self.cut(Cut::NoMemory),
            (Side::Client, Failure::From(error)) | (Side::Backend, Failure::To(error)) => {
                (Side::Client, error)
            }
            (Side::Backend, Failure::From(error)) | (Side::Client, Failure::To(error)) => {
                (Side::Backend, error)
            }
        };
        match failed {
            Side::Client => {
                if !self.up.ended() {
                    reset_on_drop(self.backend);
                }
                Ended::ClientFailed(error)
            }
            Side::Backend => {
                if !self.down.ended() {
                    reset_on_drop(self.client);
                }
                Ended::BackendFailed(error)
            }
        }
    }
}

/// Makes the drop of a socket reset its connection. If the socket is too broken for that, its drop ends
/// the connection in any case.
fn reset_on_drop(socket: &TcpStream) {
    let _too_broken = socket.set_zero_linger();
}
