//! Two ends of a stream in memory. They cut reads and writes into random pieces, pause at random,
//! and show what passes to a negotiation.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

use super::super::messages::MAX_LENGTH;
use super::super::tests::text;
use super::super::{Negotiation, Role, Writing};
use super::scenario::Scenario;

/// Bytes that passed in one call.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) read: bool,
    pub(super) bytes: Vec<u8>,
}

/// What a negotiation has made of the bytes that passed through one end.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) role: Role,
    pub(super) negotiation: Negotiation,
    pub(super) passed: Vec<Passed>,
    /// Of all that passed.
    count: usize,
    pub(super) settled: Option<String>,
    /// Whether the last call that moved bytes has settled it.
    pub(super) settled_by_last: bool,
    /// How many bytes had passed with the deciding one.
    pub(super) settled_at: usize,
    /// What multistream-select has settled.
    pub(super) expected: Option<String>,
}

impl Watched {
    fn new(role: Role) -> Self {
        Self {
            role,
            negotiation: Negotiation::new(role),
            passed: Vec::new(),
            count: 0,
            settled: None,
            settled_by_last: false,
            settled_at: 0,
            expected: None,
        }
    }

    pub(super) fn turn_into(&mut self, role: Role) {
        *self = Self::new(role);
    }

    fn read(&mut self, bytes: &[u8]) {
        let kept = self.negotiation.kept_bytes();
        let settled = self.negotiation.on_read(bytes);
        let settled = settled.map(|name| text(&name));
        assert!(
            self.negotiation.kept_bytes() <= kept,
            "bytes of the remote are kept"
        );
        self.pass(true, bytes, settled);
    }

    /// Takes the first bytes of those that are written.
    fn write(&mut self, writing: Writing<'_>, taken: &[u8], are_all: bool) {
        let alone = self.negotiation.before_write(taken);
        let settled = alone.settled().map(text);
        if settled.is_some() {
            assert_eq!(writing.settled().map(text), settled, "no question before");
        } else if are_all {
            assert_eq!(writing.settled(), None, "all are taken, and settle nothing");
        }
        self.negotiation.on_written(writing, taken.len());
        self.pass(false, taken, settled);
    }

    fn pass(&mut self, read: bool, bytes: &[u8], settled: Option<String>) {
        if bytes.is_empty() {
            return;
        }
        assert!(self.negotiation.kept_bytes() <= 2 * usize::from(MAX_LENGTH));
        self.settled_by_last = settled.is_some();
        if settled.is_some() {
            assert!(self.negotiation.is_over());
            assert_eq!(self.settled, None);
            self.settled = settled;
            // A dialer that writes is settled by the first of these bytes, all else by the last.
            let deciding = match (read, self.role) {
                (false, Role::Dialer) => 1,
                _ => bytes.len(),
            };
            self.settled_at = self.count + deciding;
        }
        self.count += bytes.len();
        self.passed.push(Passed {
            read,
            bytes: bytes.to_vec(),
        });
    }
}

#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    is_closed: bool,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) watch: Rc<RefCell<Watched>>,
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    random: fastrand::Rng,
    longest_piece: usize,
    /// How many bytes this end may still write before the connection breaks.
    breaks_after: usize,
}

impl End {
    /// Both ends. They watch as dialers at first.
    pub(super) fn pair(scenario: &Scenario) -> (Self, Self) {
        let (there, back) = <(Rc<RefCell<Pipe>>, Rc<RefCell<Pipe>>)>::default();
        let mut random = fastrand::Rng::with_seed(scenario.seed);
        let mut end = |incoming: &Rc<RefCell<Pipe>>, outgoing: &Rc<RefCell<Pipe>>| Self {
            watch: Rc::new(RefCell::new(Watched::new(Role::Dialer))),
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            random: random.fork(),
            longest_piece: scenario.longest_piece,
            breaks_after: scenario.breaks_after.unwrap_or(usize::MAX),
        };
        (end(&back, &there), end(&there, &back))
    }

    /// Sends these bytes, and nothing more.
    pub(super) fn say(self, bytes: &[u8], closes: bool) {
        let outgoing = self.outgoing.clone();
        outgoing.borrow_mut().bytes.extend(bytes);
        drop(self);
        outgoing.borrow_mut().is_closed = closes;
    }

    fn pauses(&mut self) -> bool {
        self.random.u8(..4) == 0
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.outgoing.borrow_mut().is_closed = true;
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.pauses() {
            return Poll::Pending;
        }
        let longest = self.longest_piece;
        let piece = self.random.usize(1..=longest);
        let mut pipe = self.incoming.borrow_mut();
        if pipe.bytes.is_empty() && !pipe.is_closed {
            return Poll::Pending;
        }
        let read = piece.min(pipe.bytes.len()).min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(pipe.bytes.drain(..read)) {
            *to = from;
        }
        self.watch.borrow_mut().read(&buffer[..read]);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The stream asks before it knows what the inner stream takes.
        let writing = self.watch.borrow().negotiation.before_write(bytes);
        if self.pauses() {
            return Poll::Pending;
        }
        if self.breaks_after == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let longest = self.longest_piece;
        let taken = self
            .random
            .usize(1..=longest)
            .min(bytes.len())
            .min(self.breaks_after);
        self.breaks_after -= taken;
        self.outgoing.borrow_mut().bytes.extend(&bytes[..taken]);
        let mut watch = self.watch.borrow_mut();
        watch.write(writing, &bytes[..taken], taken == bytes.len());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pauses() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.borrow_mut().is_closed = true;
        Poll::Ready(Ok(()))
    }
}
