//! The histogram of connections by memory, in plain code.

use rcmgr_atomic::ConnMemory;

/// The [`ConnMemory::counts`] of connections that hold this many bytes each.
pub fn by_memory(held: impl IntoIterator<Item = u64>) -> [u64; ConnMemory::BOUNDS.len() + 1] {
    let mut counts = [0; ConnMemory::BOUNDS.len() + 1];
    for memory in held.into_iter().filter(|&memory| memory > 0) {
        let bounds = ConnMemory::BOUNDS.iter();
        counts[bounds.take_while(|&&bound| bound < memory).count()] += 1;
    }
    counts
}
