//! How a use ends in two steps.
#![allow(unsafe_code)]

use std::mem::{self, ManuallyDrop};

use super::retire::Retire;
use super::shared::Shared;
use super::uses::{Collect, Use};
use crate::words::UseTag;

/// A use that was retired. It keeps the value in memory.
pub struct Retired<T: Collect> {
    shared: ManuallyDrop<Shared<T>>,
    counted: UseTag,
}

// SAFETY: a retired use is counted as a reference, or as a hold in its shard. Either keeps the value in
// memory.
unsafe impl<T: Collect> Retire for Use<T> {
    type Seen = ManuallyDrop<Shared<T>>;
    type Retired = Retired<T>;

    #[inline]
    fn split(self) -> (Self::Seen, u8) {
        let parts = (ManuallyDrop::new(Shared::at(self.cell)), self.counted.0);
        mem::forget(self);
        parts
    }

    #[inline]
    unsafe fn whole(shared: Self::Seen, tag: u8) -> Self {
        let counted = UseTag(tag);
        Self { shared, counted }
    }

    fn reached(tag: u8) -> (u8, bool) {
        let counted = UseTag(tag);
        (counted.alone().0, counted.has_handed_over())
    }

    unsafe fn retire(shared: &Self::Seen, tag: u8) {
        match shared.shard_counting(UseTag(tag)) {
            None => shared.end_use(),
            Some(shard) => {
                if shard.retire() {
                    shared.end_closed_shard();
                }
            }
        }
    }

    unsafe fn into_retired(shared: Self::Seen, tag: u8) -> Retired<T> {
        let counted = UseTag(tag);
        Retired { shared, counted }
    }
}

impl<T: Collect> Drop for Retired<T> {
    fn drop(&mut self) {
        match self.shared.shard_counting(self.counted) {
            None => drop(Shared::at(self.shared.cell)),
            Some(shard) => self.shared.release_in(shard),
        }
    }
}
