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
    let Err(payload) = catch_unwind(AssertUnwindSafe(code)) else {
        return;
    };
    // The payload of the panic is a value of the user, and its destructor may panic, too. Then the
    // second payload is leaked: dropping it could go on like this without end.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}
