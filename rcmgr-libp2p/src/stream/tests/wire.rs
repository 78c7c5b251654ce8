//! Two ends of a stream in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    is_closed: bool,
}

#[derive(Debug)]
pub(super) struct End {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    /// How many bytes it takes at once. With none, a write waits for ever.
    most: usize,
    pauses: bool,
    /// Which calls have waited, and will do something the next time.
    have_paused: [bool; 4],
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Read,
    Write,
    Flush,
    Close,
}

impl End {
    pub(super) fn pair() -> (Self, Self) {
        let (there, back) = <(Rc<RefCell<Pipe>>, Rc<RefCell<Pipe>>)>::default();
        let end = |incoming: &Rc<_>, outgoing: &Rc<_>| Self {
            incoming: Rc::clone(incoming),
            outgoing: Rc::clone(outgoing),
            most: usize::MAX,
            pauses: false,
            have_paused: [false; 4],
        };
        (end(&back, &there), end(&there, &back))
    }

    /// The same end. It takes at most so many bytes at once.
    pub(super) fn taking(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// The same end. Each call waits once before it does something.
    pub(super) fn pausing(mut self) -> Self {
        self.pauses = true;
        self
    }

    pub(super) fn send(&self, bytes: &[u8]) {
        self.outgoing.borrow_mut().bytes.extend(bytes);
    }

    /// What the other end has written, and this one has not read.
    pub(super) fn received(&self) -> Vec<u8> {
        self.incoming.borrow().bytes.iter().copied().collect()
    }

    /// Whether the other end is closed or dropped.
    pub(super) fn is_ended(&self) -> bool {
        self.incoming.borrow().is_closed
    }

    fn pause(&mut self, call: Call) -> Poll<()> {
        let has_paused = &mut self.have_paused[call as usize];
        *has_paused = self.pauses && !*has_paused;
        match *has_paused {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    fn write(&mut self, slices: &[&[u8]]) -> Poll<io::Result<usize>> {
        if self.pause(Call::Write).is_pending() || self.most == 0 {
            return Poll::Pending;
        }
        let bytes = slices.concat();
        let taken = bytes.len().min(self.most);
        self.outgoing.borrow_mut().bytes.extend(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.outgoing.borrow_mut().is_closed = true;
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_vectored(cx, &mut [IoSliceMut::new(buffer)])
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.pause(Call::Read).is_pending() {
            return Poll::Pending;
        }
        let mut pipe = self.incoming.borrow_mut();
        if pipe.bytes.is_empty() && !pipe.is_closed {
            return Poll::Pending;
        }
        let mut read = 0;
        for buffer in buffers {
            let most = buffer.len().min(pipe.bytes.len());
            for (to, from) in buffer.iter_mut().zip(pipe.bytes.drain(..most)) {
                *to = from;
                read += 1;
            }
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(&[bytes])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(&slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pause(Call::Flush).map(Ok)
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pause(Call::Close).is_pending() {
            return Poll::Pending;
        }
        self.outgoing.borrow_mut().is_closed = true;
        Poll::Ready(Ok(()))
    }
}
