//! Pipes that move bytes from socket to socket inside the kernel, and the pool of a thread. Linux only.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How many pipes a thread has at most. Each uses two file descriptors.
pub(super) const PIPES_PER_THREAD: usize = 32;
/// The capacity of a pipe, in bytes. A quarter of it, the default of Linux, hardly beats copying.
pub(super) const CAPACITY: usize = 256 * 1024;

struct Pool {
    idle: Vec<Ends>,
    /// Idle and in use.
    open: usize,
}

struct Ends {
    out: OwnedFd,
    into: OwnedFd,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool { idle: Vec::new(), open: 0 })
    };
}

/// A pipe from the pool of the thread. It goes back when it is dropped, unless bytes are inside: those
/// would reach another connection.
pub(super) struct Pipe {
    /// `Some` until it is dropped.
    ends: Option<Ends>,
    holds: usize,
}

impl Pipe {
    /// An empty pipe. `None` if the thread has its number of pipes, or the kernel refuses another: there
    /// is no descriptor left, or the user has too much memory in pipes.
    pub(super) fn take() -> Option<Self> {
        POOL.with_borrow_mut(|pool| {
            let ends = match pool.idle.pop() {
                Some(ends) => ends,
                None if pool.open < PIPES_PER_THREAD => {
                    let ends = Ends::open()?;
                    pool.open += 1;
                    ends
                }
                None => return None,
            };
            Some(Self {
                ends: Some(ends),
                holds: 0,
            })
        })
    }

    /// How many bytes are inside.
    pub(super) const fn holds(&self) -> usize {
        self.holds
    }

    pub(super) const fn is_half_full(&self) -> bool {
        self.holds >= CAPACITY / 2
    }

    /// Moves bytes from a socket into the empty pipe, at most [`CAPACITY`]. `None` if the
    /// socket has none, `Some(0)` at its end.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<Option<usize>> {
        let Some(ends) = &self.ends else {
            return Ok(None);
        };
        // The pipe is empty, so "would block" comes from the socket.
        let moved = from.try_io(Interest::READABLE, || {
            move_bytes(from, &ends.into, CAPACITY)
        });
        match moved {
            Ok(bytes) => {
                self.holds = bytes;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves as many bytes into a socket as it takes. Returns their number.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let before = self.holds;
        while let Some(ends) = &self.ends
            && self.holds > 0
        {
            // The pipe is not empty, so "would block" comes from the socket.
            let moved = to.try_io(Interest::WRITABLE, || move_bytes(&ends.out, to, self.holds));
            match moved {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.holds -= bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(before - self.holds)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let ends = self.ends.take().filter(|_| self.holds == 0);
        // At the end of the thread there may be no pool: then the pipe is closed.
        let _no_pool = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            match ends {
                Some(ends) => pool.idle.push(ends),
                None => pool.open = pool.open.saturating_sub(1),
            }
        });
    }
}

impl Ends {
    fn open() -> Option<Self> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let whole = fcntl_setpipe_size(&out, CAPACITY).is_ok_and(|size| size >= CAPACITY);
        whole.then_some(Self { out, into })
    }
}

/// Moves bytes between a socket and a pipe. Neither blocks.
fn move_bytes(
    from: impl std::os::fd::AsFd,
    to: impl std::os::fd::AsFd,
    most: usize,
) -> io::Result<usize> {
    loop {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match splice(&from, None, &to, None, most, flags) {
            Err(rustix::io::Errno::INTR) => {}
            moved => return Ok(moved?),
        }
    }
}

/// How many pipes of this thread are idle, and how many are open.
#[cfg(test)]
pub(super) fn pool() -> (usize, usize) {
    POOL.with_borrow(|pool| (pool.idle.len(), pool.open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pipe_goes_back_and_one_with_bytes_inside_is_closed() {
        let pipe = Pipe::take().unwrap();
        assert_eq!(pool(), (0, 1));
        drop(pipe);
        assert_eq!(pool(), (1, 1));

        let mut pipe = Pipe::take().unwrap();
        let ends = pipe.ends.as_ref().unwrap();
        pipe.holds = rustix::io::write(&ends.into, b"secret").unwrap();
        drop(pipe);
        assert_eq!(pool(), (0, 0));

        // The next pipe is empty.
        let pipe = Pipe::take().unwrap();
        let ends = pipe.ends.as_ref().unwrap();
        let nothing = rustix::io::read(&ends.out, &mut [0; 8]);
        assert_eq!(nothing, Err(rustix::io::Errno::AGAIN));
    }

    #[test]
    fn a_thread_has_a_bounded_number_of_pipes() {
        let mut pipes = Vec::from_iter(std::iter::from_fn(Pipe::take));
        assert_eq!(pipes.len(), PIPES_PER_THREAD);
        assert!(Pipe::take().is_none());
        pipes.pop();
        assert!(Pipe::take().is_some());
        drop(pipes);
        assert_eq!(pool(), (PIPES_PER_THREAD, PIPES_PER_THREAD));
    }
}
