//! The read buffer of a thread, which all its relays use in turn, and how much of it a read uses.

use std::cell::RefCell;

/// The largest read, and the size of the buffer.
const LARGEST: usize = 256 * 1024;
/// The smallest read.
const SMALLEST: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with the first `size` bytes of the thread's buffer. It must not call this again.
pub(super) fn with_buffer<T>(size: ReadSize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.is_empty() {
            *buffer = vec![0; LARGEST];
        }
        work(&mut buffer[..size.get()])
    })
}

/// How many bytes the next read of a direction asks for. It follows the size of the last read, so that
/// a direction with short messages reserves little memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadSize(u32);

impl ReadSize {
    pub(super) const fn smallest() -> Self {
        Self(SMALLEST as u32)
    }

    pub(super) const fn get(self) -> usize {
        self.0 as usize
    }

    /// Whether the last reads were as large as they can be.
    pub(super) const fn is_largest(self) -> bool {
        self.get() == LARGEST
    }

    /// Adapts to a read of `bytes` bytes.
    pub(super) const fn after(self, bytes: usize) -> Self {
        let size = self.get();
        let next = if bytes == size && size < LARGEST {
            size * 4
        } else if bytes < size / 8 {
            return self.smaller();
        } else {
            size
        };
        Self(next as u32)
    }

    /// The next smaller size.
    pub(super) const fn smaller(self) -> Self {
        Self(if self.get() > SMALLEST {
            self.0 / 4
        } else {
            self.0
        })
    }
}
