//! A value on a cache line of its own.

use std::ops::Deref;

/// A value on a cache line of its own: 64 bytes.
///
/// `CachePadded` of crossbeam takes 128 bytes on x86-64, because that fetches lines in pairs. With it a
/// connection with a peer of its own takes 256 bytes more than this way.
#[derive(Debug)]
#[repr(align(64))]
pub struct CacheLine<T>(pub T);

impl<T> Deref for CacheLine<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
