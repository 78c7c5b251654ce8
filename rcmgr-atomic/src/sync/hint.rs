//! A hint to the compiler.

/// Marks the branch that calls it as unlikely, so that the compiler makes it a jump and not a
/// conditional move. (The standard library has the same since Rust 1.95.)
#[cold]
#[inline(always)]
pub fn cold_path() {}
