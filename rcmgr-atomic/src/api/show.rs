//! How handles show themselves to a developer.

use std::fmt;

use rcmgr_core::{ScopeName, ScopeStat};

/// Writes the type of a handle, the name of its scope, and the usage.
pub fn show(
    f: &mut fmt::Formatter<'_>,
    handle: &str,
    name: &ScopeName,
    stat: &ScopeStat,
) -> fmt::Result {
    write!(f, "{handle}({name}: {stat})")
}
