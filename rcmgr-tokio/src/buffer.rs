//! A read buffer: it reserves memory in a scope before it grows, and gives the memory back when it
//! is empty.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use rcmgr_atomic::{CanWait, ReserveWhenAvailable};
use rcmgr_core::{Error, MIB, Priority, ResourceScope};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use crate::conn_scope::ConnScope;

/// The capacity of the first allocation, and the smallest growth.
const STEP: usize = 4 * 1024;
/// An empty buffer reads at most this much at once. Larger reads make a server hardly faster.
const LARGEST_READ: usize = 64 * 1024;
/// The default of [`Buffer::most`].
const MOST: usize = MIB as usize;

/// A read buffer, whose memory is reserved in a scope: by default that of a connection.
///
/// The buffer reserves memory before it grows. It reserves exactly the memory that it has allocated:
/// [`capacity`](Self::capacity) bytes. It starts with nothing, grows by 4 KiB or to twice its
/// capacity, and never beyond [`most`](Self::most) bytes.
///
/// An empty buffer gives its memory back at once, down to its [`floor`](Self::floor): when the last
/// byte is consumed, and while it waits for the first. So a connection that waits for its client
/// needs no buffer. This takes no timer, and the allocation for the next read costs much less than
/// the read itself. A busy connection still reads in large pieces, because the buffer remembers the
/// size of the last reads.
///
/// The buffer dereferences to the bytes that are not consumed. It is also a [`Buf`], so
/// [`write_all_buf`](tokio::io::AsyncWriteExt::write_all_buf) can write it and consumes each byte
/// when it is written.
///
/// ```
/// use rcmgr_atomic::{Limits, Manager, Priority};
/// use rcmgr_tokio::Buffer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut limits = Limits::unlimited();
/// limits.system.memory = 8192.into();
/// let manager = Manager::new(limits)?;
/// let system = manager.view_system();
///
/// let mut client: &[u8] = &[7; 10_000]; // a socket, in a server
/// let mut buffer = Buffer::new(&system, Priority::Always);
/// assert_eq!(buffer.fill_from(&mut client).await?, 4096);
/// assert_eq!(buffer.fill_from(&mut client).await?, 4096);
/// assert_eq!(system.stat().memory, 8192);
///
/// let refused = buffer.fill_from(&mut client).await.unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "system refused 4096 bytes of memory: 8192 of 8192 in use",
/// );
/// assert_eq!(buffer.len(), 8192); // no byte is lost
///
/// buffer.consume_all();
/// assert_eq!(system.stat().memory, 0);
/// assert_eq!(buffer.fill_from(&mut client).await?, 1808);
/// # Ok(())
/// # }
/// ```
pub struct Buffer<S = ConnScope>
where
    S: Deref<Target: CanWait>,
{
    scope: S,
    priority: Priority,
    /// The bytes before `start` are consumed. `start` is zero if there are no others.
    bytes: Vec<u8>,
    start: usize,
    /// The bytes that are reserved in the scope: at least the capacity of `bytes` at any time, and
    /// exactly that between two calls.
    reserved: u64,
    /// The capacity that an empty buffer takes for its next read.
    next: usize,
    floor: usize,
    most: usize,
}

impl<S> Buffer<S>
where
    S: Deref<Target: CanWait>,
{
    /// An empty buffer that holds nothing yet. It will reserve memory in `scope` at `priority`.
    ///
    /// The scope is a [`ConnScope`], a borrow of a scope, or an [`Arc`](std::sync::Arc) of one. A
    /// buffer that holds a [`ConnScope`] keeps the connection counted as long as it lives.
    pub fn new(scope: S, priority: Priority) -> Self {
        Self {
            scope,
            priority,
            bytes: Vec::new(),
            start: 0,
            reserved: 0,
            next: STEP,
            floor: 0,
            most: MOST,
        }
    }

    /// Sets the largest capacity, in bytes: 1 MiB by default. A message that is longer than
    /// that cannot be held as a whole.
    #[must_use]
    pub fn most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// Sets the capacity that an empty buffer keeps, in bytes: nothing by default. A floor
    /// of the usual length of a message saves an allocation for each message.
    #[must_use]
    pub fn floor(mut self, bytes: usize) -> Self {
        self.floor = bytes;
        self.next = self.next.max(bytes);
        self
    }

    /// How many bytes are allocated, and reserved in the scope.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The scope that the memory is reserved in.
    pub const fn scope(&self) -> &S {
        &self.scope
    }

    /// Marks the first `bytes` bytes as consumed: they are no longer part of the buffer. A number
    /// larger than its length consumes everything.
    pub fn consume(&mut self, bytes: usize) {
        if bytes < self.len() {
            self.start += bytes;
        } else {
            self.consume_all();
        }
    }

    /// Marks all bytes as consumed.
    pub fn consume_all(&mut self) {
        self.bytes.clear();
        self.start = 0;
        self.rest();
    }

    /// Reads once, and appends the bytes. It returns their number: 0 at the end of the input.
    ///
    /// It is cancel-safe: if the future is dropped before it is ready, nothing was read, and an
    /// empty buffer holds its floor.
    ///
    /// # Errors
    ///
    /// An error of the reader. A refusal by the scope: an [`io::Error`] that
    /// [downcasts](io::Error::downcast) to [`rcmgr_core::Error`]. An error of the kind
    /// [`StorageFull`](io::ErrorKind::StorageFull) if the buffer already holds as many bytes as it
    /// [may](Self::most). With each of them, the buffer keeps its bytes, and the reader those that
    /// were not read.
    pub async fn fill_from<R>(&mut self, reader: &mut R) -> io::Result<usize>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        poll_fn(|cx| self.poll_fill_from(cx, Pin::new(reader))).await
    }

    /// [`fill_from`](Self::fill_from) for poll functions.
    ///
    /// # Errors
    ///
    /// As [`fill_from`](Self::fill_from).
    pub fn poll_fill_from<R>(
        &mut self,
        cx: &mut Context<'_>,
        reader: Pin<&mut R>,
    ) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + ?Sized,
    {
        match self.make_room() {
            Ok(()) => self.poll_read(cx, reader),
            Err(no_room) => Poll::Ready(Err(no_room.into())),
        }
    }

    /// Same as [`fill_from`](Self::fill_from), but if a limit leaves no room, it waits for room instead
    /// of returning the refusal.
    ///
    /// It waits for memory only while it has no spare capacity. A buffer that waits for its client is
    /// in no queue. It is cancel-safe in the same way. The wait has no timeout: use
    /// [`tokio::time::timeout`]. A buffer that waits keeps the bytes that it holds, so if all buffers
    /// of a server hold a part of a message and wait, only a timeout ends that.
    ///
    /// # Errors
    ///
    /// As [`fill_from`](Self::fill_from). The scope refuses at once if the request can never be
    /// granted, or if too many requests wait.
    pub async fn fill_from_when_available<R>(&mut self, reader: &mut R) -> io::Result<usize>
    where
        R: AsyncRead + Unpin + ?Sized,
        S::Target: CanWait + Sized,
    {
        loop {
            match self.make_room() {
                Ok(()) => {}
                Err(NoRoom::Refused(refused)) if refused.is_temporary() => {
                    let capacity = self.least_growth();
                    let more = (capacity - self.capacity()) as u64;
                    let granted =
                        ReserveWhenAvailable::new(&*self.scope, more, self.priority).await?;
                    // The buffer takes the reservation over. The guard is a borrow and a number.
                    mem::forget(granted);
                    self.reserved += more;
                    self.allocate(capacity)?;
                }
                Err(no_room) => return Err(no_room.into()),
            }
            // A buffer that stays empty gives its memory back when it is polled. With the next wake
            // it starts again, and waits for memory if others took it.
            let mut polled = false;
            let read = poll_fn(|cx| {
                if mem::replace(&mut polled, true) {
                    return Poll::Ready(None);
                }
                self.poll_read(cx, Pin::new(reader)).map(Some)
            });
            if let Some(read) = read.await {
                return read;
            }
        }
    }

    /// Reads into the spare capacity.
    fn poll_read<R>(&mut self, cx: &mut Context<'_>, reader: Pin<&mut R>) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + ?Sized,
    {
        let spare = self.capacity() - self.bytes.len();
        let read = poll_read_buf(reader, cx, &mut self.bytes);
        if self.is_empty() {
            // It would hold memory for a client that sends nothing.
            self.rest();
        }
        let read = ready!(read)?;
        if read == spare {
            self.next = (2 * self.capacity()).min(LARGEST_READ);
        } else if read < self.next / 4 {
            self.next = (self.next / 2).max(STEP);
        }
        Poll::Ready(Ok(read))
    }

    /// Makes spare capacity if there is none.
    fn make_room(&mut self) -> Result<(), NoRoom> {
        let capacity = self.capacity();
        if self.bytes.len() < capacity {
            return Ok(());
        }
        // A move of the bytes to the front is cheap if at least half is consumed. A buffer that
        // cannot grow moves them in any case.
        if self.start > 0 && (self.len() <= capacity / 2 || capacity >= self.most) {
            self.bytes.drain(..self.start);
            self.start = 0;
            return Ok(());
        }
        if capacity >= self.most {
            return Err(NoRoom::Full(capacity));
        }
        let least = self.least_growth();
        let wanted = self.next.max(2 * capacity).clamp(least, self.most);
        match self.grow(wanted) {
            // Near the limit a smaller step may still fit.
            Err(NoRoom::Refused(refused)) if refused.is_temporary() && wanted > least => {
                self.grow(least)
            }
            grown => grown,
        }
    }

    /// The smallest capacity that is worth a growth.
    fn least_growth(&self) -> usize {
        self.most.min(self.capacity() + STEP)
    }

    /// Reserves memory for a larger capacity, then allocates it.
    fn grow(&mut self, capacity: usize) -> Result<(), NoRoom> {
        let more = (capacity - self.capacity()) as u64;
        self.scope.reserve_memory(more, self.priority)?;
        self.reserved += more;
        self.allocate(capacity)
    }

    /// Allocates memory that is already reserved.
    fn allocate(&mut self, capacity: usize) -> Result<(), NoRoom> {
        let before = self.capacity();
        let allocated = self
            .bytes
            .try_reserve_exact(capacity - self.bytes.len())
            .map_err(|failed| NoRoom::OutOfMemory(failed.into()));
        let settled = self.settle();
        if settled.is_err() {
            // The allocator gave more than it was asked for, and the scope has no room for that.
            self.shrink_to(before);
        }
        allocated.and(settled)
    }

    /// Makes the reservation equal to the size of the allocation.
    fn settle(&mut self) -> Result<(), NoRoom> {
        let allocated = self.bytes.capacity() as u64;
        if let Some(more) = allocated
            .checked_sub(self.reserved)
            .filter(|&more| more > 0)
        {
            self.scope.reserve_memory(more, self.priority)?;
        } else if allocated < self.reserved {
            self.scope.release_memory(self.reserved - allocated);
        }
        self.reserved = allocated;
        Ok(())
    }

    /// Shrinks an empty buffer to its floor.
    fn rest(&mut self) {
        if self.capacity() > self.floor {
            self.shrink_to(self.floor);
        }
    }

    /// Frees memory, then releases its reservation.
    fn shrink_to(&mut self, capacity: usize) {
        self.bytes.shrink_to(capacity);
        let allocated = self.bytes.capacity() as u64;
        if let Some(excess) = self
            .reserved
            .checked_sub(allocated)
            .filter(|&less| less > 0)
        {
            self.reserved = allocated;
            self.scope.release_memory(excess);
        }
    }
}

impl<S> Drop for Buffer<S>
where
    S: Deref<Target: CanWait>,
{
    fn drop(&mut self) {
        self.bytes = Vec::new();
        if self.reserved > 0 {
            self.scope.release_memory(self.reserved);
        }
    }
}

impl<S> Deref for Buffer<S>
where
    S: Deref<Target: CanWait>,
{
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl<S> AsRef<[u8]> for Buffer<S>
where
    S: Deref<Target: CanWait>,
{
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<S> Buf for Buffer<S>
where
    S: Deref<Target: CanWait>,
{
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self
    }

    /// Same as [`consume`](Self::consume).
    fn advance(&mut self, bytes: usize) {
        self.consume(bytes);
    }
}

impl<S> fmt::Debug for Buffer<S>
where
    S: Deref<Target: CanWait>,
{
    /// Shows no bytes, because they are the client's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("scope", &self.scope.name().to_string())
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// Why a buffer has no room to read into.
enum NoRoom {
    Refused(Error),
    /// It has allocated as much as it may: so many bytes.
    Full(usize),
    OutOfMemory(io::Error),
}

impl From<Error> for NoRoom {
    fn from(refused: Error) -> Self {
        Self::Refused(refused)
    }
}

impl From<NoRoom> for io::Error {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Refused(refused) => refused.into(),
            NoRoom::Full(most) => Self::new(
                io::ErrorKind::StorageFull,
                format!("the buffer is full: it holds {most} bytes, as many as it may"),
            ),
            NoRoom::OutOfMemory(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::{Limits, Manager};

    use super::*;

    #[test]
    fn memory_that_the_allocator_adds_is_reserved_and_memory_that_it_keeps_back_is_released() {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let system = manager.view_system();
        let mut buffer = Buffer::new(&system, Priority::Always);
        assert!(buffer.grow(4096).is_ok());
        assert_eq!(system.stat().memory, 4096);

        buffer.bytes.reserve_exact(10_000);
        assert!(buffer.settle().is_ok());
        assert_eq!(system.stat().memory, buffer.capacity() as u64);
        assert!(buffer.capacity() >= 10_000);

        buffer.bytes = Vec::new();
        assert!(buffer.settle().is_ok());
        assert_eq!(system.stat().memory, 0);
    }

    #[test]
    fn memory_that_cannot_be_allocated_is_not_reserved() {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let system = manager.view_system();
        let mut buffer = Buffer::new(&system, Priority::Always);
        let failed = buffer.grow(isize::MAX as usize);
        assert!(matches!(failed, Err(NoRoom::OutOfMemory(_))));
        assert_eq!(system.stat().memory, 0);
    }
}
