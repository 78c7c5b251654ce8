//! A value on a cache line of its own.

use std::ops::Deref;

/// A value on a cache line of its own: 64 bytes.
///
/// `CachePadded` of crossbeam takes 128 bytes on x86-64, because that fetches lines in pairs. A
/// node would take 640 bytes in place of 512, and a connection with a peer of its own more than a
/// kibibyte in all.
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
