//! Calls of code that users bring: recorders, clocks, and subscribers of the log.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls code of the user, and catches a panic there.
///
/// The code is called in the middle of operations, or in destructors. If its panic unwound through
/// an operation, charges would stay behind that no handle gives back. The panic hook has reported
/// the panic already, so it is not silent.
pub fn call_user_code(code: impl FnOnce()) {
    // The code reaches the engine through atomics and locks only, and no lock is held half-way
    // through a change.
    let _ = catch_unwind(AssertUnwindSafe(code));
}
