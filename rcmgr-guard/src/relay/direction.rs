//! One direction of a relay: bytes of one side, on their way to the other.

use std::fmt;
use std::io::{self, Read};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rcmgr_atomic::{Connection, MemoryGuard, Priority};
use socket2::SockRef;
use tokio::io::{Interest, ReadBuf, Ready};
use tokio::net::TcpStream;

use super::activity::{Activity, Side};
use super::buffer::{ReadSize, with_buffer};
#[cfg(not(target_os = "linux"))]
use super::no_pipe::Pipe;
#[cfg(target_os = "linux")]
use super::pipe::Pipe;

/// How many reads a poll makes before the other tasks of the thread get their turn.
const READS_PER_POLL: usize = 4;
/// How many bytes a direction has moved before a pipe pays.
const BYTES_BEFORE_SPLICE: u64 = 1 << 20;

/// Why a direction failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The side that it reads from.
    From(io::Error),
    /// The side that it writes to.
    To(io::Error),
    /// The memory for bytes that were not written was refused.
    NoMemory,
}

/// What both directions need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<'a> {
    /// The scope in which kept bytes are charged.
    pub scope: &'a Connection,
    pub activity: &'a Activity,
}

/// Bytes that were read and did not fit into the other side's socket.
struct Kept<'a> {
    bytes: Place,
    /// `None` for the first bytes of the client, until they do not fit.
    charge: Option<MemoryGuard<&'a Connection>>,
}

/// Where the kept bytes are.
enum Place {
    Memory(Bytes),
    Pipe(Pipe),
}

impl Place {
    fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Pipe(pipe) => pipe.holds(),
        }
    }

    /// Writes as much as the socket takes. Returns how many bytes that were.
    fn write(&mut self, to: &TcpStream) -> Result<usize, Failure> {
        match self {
            Self::Memory(bytes) => {
                let written = write(to, bytes)?;
                bytes.advance(written);
                Ok(written)
            }
            Self::Pipe(pipe) => pipe.drain(to).map_err(Failure::To),
        }
    }
}

type ErrorReady<'a> = Pin<Box<dyn Future<Output = io::Result<Ready>> + Send + 'a>>;

pub(super) struct Direction<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    kept: Option<Kept<'a>>,
    /// Waits for a reset of `from` while nothing is read from it.
    reset: Option<ErrorReady<'a>>,
    size: ReadSize,
    side: Side,
    /// Whether `from` has sent its end, and `to` has got it, or gets it with the close.
    ended: bool,
    /// Whether memory was refused since the direction last waited.
    refused: bool,
    /// Whether it may use pipes.
    splice: bool,
}

impl<'a> Direction<'a> {
    /// The direction from `side`, whose socket is `from`. The bytes of `first` go first. They are
    /// charged if they do not fit into the socket of the other side.
    pub(super) fn new(
        side: Side,
        from: &'a TcpStream,
        to: &'a TcpStream,
        first: Bytes,
        splice: bool,
    ) -> Self {
        let first = (!first.is_empty()).then_some(Kept {
            bytes: Place::Memory(first),
            charge: None,
        });
        Self {
            from,
            to,
            kept: first,
            reset: None,
            size: ReadSize::smallest(),
            side,
            ended: false,
            refused: false,
            splice,
        }
    }

    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// Whether it has bytes that were not written.
    pub(super) const fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// Moves bytes until it must wait. Ready when the direction has ended.
    ///
    /// If it is the `last` one, the close of the sockets, which follows, passes its end on.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        shared: Shared<'a>,
        last: bool,
    ) -> Poll<Result<(), Failure>> {
        for _ in 0..READS_PER_POLL {
            let blocked = self.poll_write_kept(cx, shared)?.is_pending();
            // Nothing is read while bytes are kept. Without memory for a read, nothing is read before
            // the other side can take bytes.
            if blocked || self.refused && self.poll_writable(cx)?.is_pending() {
                self.refused = false;
                return self.poll_reset(cx);
            }
            self.reset = None;
            if self
                .from
                .poll_read_ready(cx)
                .map_err(Failure::From)?
                .is_pending()
            {
                self.refused = false;
                return Poll::Pending;
            }
            if self.pass(cx, shared)? {
                if !last {
                    let shut = SockRef::from(self.to).shutdown(Shutdown::Write);
                    shut.map_err(Failure::To)?;
                }
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
        }
        // The runtime wakes the task after the others, and after it has looked for new events.
        let _pending = std::pin::pin!(tokio::task::yield_now()).poll(cx);
        Poll::Pending
    }

    /// Never ready, but fails when `from` is reset. For times at which nothing is read from it.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let from = self.from;
        let reset = self
            .reset
            .get_or_insert_with(|| Box::pin(from.ready(Interest::ERROR)));
        let error = match ready!(reset.as_mut().poll(cx)).and_then(|_| from.take_error()) {
            Ok(Some(error)) | Err(error) => error,
            // A write has got the error before.
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
        };
        Poll::Ready(Err(Failure::From(error)))
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.to.poll_write_ready(cx).map_err(Failure::To)
    }

    /// Writes the kept bytes. Ready when there are none.
    fn poll_write_kept(
        &mut self,
        cx: &mut Context<'_>,
        shared: Shared<'a>,
    ) -> Poll<Result<(), Failure>> {
        let Some(kept) = &mut self.kept else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let written = kept.bytes.write(self.to)?;
            if written > 0 {
                shared.activity.passed(self.side, written);
            }
            if kept.bytes.len() == 0 {
                self.kept = None;
                return Poll::Ready(Ok(()));
            }
            if kept.charge.is_none() {
                let size = kept.bytes.len() as u64;
                let charge = MemoryGuard::new(shared.scope, size, Priority::Medium);
                kept.charge = Some(charge.map_err(|_| Failure::NoMemory)?);
            }
            ready!(self.to.poll_write_ready(cx)).map_err(Failure::To)?;
        }
    }

    /// Reads once, and writes at once. Returns whether `from` has sent its end.
    ///
    /// The memory for all that it may read is reserved before. So each byte that cannot be written can
    /// be kept. If the reservation is refused, the bytes stay in the socket until they are written.
    fn pass(&mut self, cx: &mut Context<'_>, shared: Shared<'a>) -> Result<bool, Failure> {
        let size = self.size.get() as u64;
        if !self.refused {
            match MemoryGuard::new(shared.scope, size, Priority::Medium) {
                Ok(room) => return self.move_once(room, shared.activity),
                // The next attempt asks for less.
                Err(_) => {
                    self.refused = true;
                    self.size = self.size.smaller();
                }
            }
        }
        self.look_and_write(cx, shared.activity)
    }

    /// Moves bytes once, through a pipe or through the buffer. `room` pays for what is kept.
    fn move_once(
        &mut self,
        room: MemoryGuard<&'a Connection>,
        activity: &Activity,
    ) -> Result<bool, Failure> {
        if self.splice
            && self.size.is_largest()
            && activity.passed_from(self.side) >= BYTES_BEFORE_SPLICE
            && let Some(pipe) = Pipe::take()
        {
            return self.fill_and_drain(pipe, room, activity);
        }
        self.read_and_write(room, activity)
    }

    /// Moves bytes through a pipe. The pipe is kept if bytes stay inside.
    fn fill_and_drain(
        &mut self,
        mut pipe: Pipe,
        mut room: MemoryGuard<&'a Connection>,
        activity: &Activity,
    ) -> Result<bool, Failure> {
        let moved = match pipe.fill(self.from) {
            Ok(Some(moved)) => moved,
            Ok(None) => return Ok(false),
            // The kernel cannot splice from this socket. It took no bytes.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.splice = false;
                return Ok(false);
            }
            Err(error) => return Err(Failure::From(error)),
        };
        if moved == 0 {
            return Ok(true);
        }
        // Few bytes do not pay for a pipe. The direction copies until its reads are large again.
        if !pipe.is_half_full() {
            self.size = self.size.smaller();
        }
        activity.received(self.side);
        let drained = pipe.drain(self.to).map_err(Failure::To)?;
        activity.passed(self.side, drained);
        if pipe.holds() > 0 {
            room.shrink_to(pipe.holds() as u64);
            self.kept = Some(Kept {
                bytes: Place::Pipe(pipe),
                charge: Some(room),
            });
        }
        Ok(false)
    }

    /// Moves bytes through the buffer of the thread. The rest that is not written is kept.
    fn read_and_write(
        &mut self,
        mut room: MemoryGuard<&'a Connection>,
        activity: &Activity,
    ) -> Result<bool, Failure> {
        with_buffer(self.size, |buffer| {
            let Some(read) = read(self.from, buffer).map_err(Failure::From)? else {
                return Ok(false);
            };
            if read == 0 {
                return Ok(true);
            }
            self.size = self.size.after(read);
            activity.received(self.side);
            let written = write(self.to, &buffer[..read])?;
            activity.passed(self.side, written);
            let rest = &buffer[written..read];
            if !rest.is_empty() {
                room.shrink_to(rest.len() as u64);
                self.kept = Some(Kept {
                    bytes: Place::Memory(Bytes::copy_from_slice(rest)),
                    charge: Some(room),
                });
            }
            Ok(false)
        })
    }

    /// As [`read_and_write`](Self::read_and_write), for times without memory: it takes from the socket
    /// only the bytes that are already written.
    fn look_and_write(
        &mut self,
        cx: &mut Context<'_>,
        activity: &Activity,
    ) -> Result<bool, Failure> {
        with_buffer(ReadSize::smallest(), |buffer| {
            let mut seen = ReadBuf::new(buffer);
            let read = match self.from.poll_peek(cx, &mut seen) {
                Poll::Ready(read) => read.map_err(Failure::From)?,
                Poll::Pending => return Ok(false),
            };
            if read == 0 {
                return Ok(true);
            }
            activity.received(self.side);
            let written = write(self.to, seen.filled())?;
            activity.passed(self.side, written);
            let mut left = written;
            while left > 0 {
                match self.from.try_read(&mut buffer[..left]) {
                    // Nothing else reads this socket, so the bytes are still there.
                    Ok(0) => return Err(Failure::From(io::ErrorKind::UnexpectedEof.into())),
                    Ok(taken) => left -= taken,
                    Err(error) => return Err(Failure::From(error)),
                }
            }
            Ok(false)
        })
    }
}

impl fmt::Debug for Direction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direction")
            .field("side", &self.side)
            .field("kept", &self.kept.as_ref().map(|kept| kept.bytes.len()))
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Reads once. `None` if there is nothing to read.
///
/// A read that does not fill the buffer has emptied the socket: the readiness is cleared without
/// another call of the kernel. An end or an error that comes later is a new event.
fn read(from: &TcpStream, into: &mut [u8]) -> io::Result<Option<usize>> {
    let mut read = None;
    let size = into.len();
    let cleared = from.try_io(Interest::READABLE, || {
        let bytes = (&*SockRef::from(from)).read(into)?;
        read = Some(bytes);
        if 0 < bytes && bytes < size {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match cleared {
        Err(error) if !is_temporary(&error) => Err(error),
        _ => Ok(read),
    }
}

/// Writes as much as the socket takes.
fn write(to: &TcpStream, bytes: &[u8]) -> Result<usize, Failure> {
    let mut written = 0;
    while written < bytes.len() {
        match to.try_write(&bytes[written..]) {
            Ok(0) => return Err(Failure::To(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::To(error)),
        }
    }
    Ok(written)
}

/// Whether the call can be made again.
fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
