//! What the simulated code says of its memory. The real one does not do this, so it is no work.

use crate::memory;
use crate::run::allocated_in_run;
use crate::work::Clock;

/// Announces a value that was just allocated. In a run it gets lines from the memory that its core
/// freed before. Before a run it gets lines of its own, as if its thread had its own memory.
pub fn allocated<T: ?Sized>(value: &T) {
    Clock::pause();
    let (address, size) = place(value);
    if allocated_in_run(address, size).is_none() {
        memory::allocated_before(address, size);
    }
    Clock::resume();
}

/// Names the memory of a value, for [`Outcome::hottest`](crate::Outcome::hottest).
pub fn name_memory<T: ?Sized>(value: &T, name: impl FnOnce() -> String) {
    Clock::pause();
    let (address, size) = place(value);
    memory::name(address, size, name());
    Clock::resume();
}

fn place<T: ?Sized>(value: &T) -> (usize, usize) {
    (
        std::ptr::from_ref(value).cast::<()>().addr(),
        size_of_val(value),
    )
}
