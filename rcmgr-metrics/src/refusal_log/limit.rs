//! The limit that a scope reached, in words.

use std::fmt;

use rcmgr_core::Resource;

use super::words::amount;
use crate::reached::Reached;

/// The part of the limit that each priority may use.
pub(super) const PRIORITIES: &str = "; low priority may use 40 % of it, medium 60 %, high 80 %";

/// Writes the end of a line: usage, limit and setting. `there` follows the usage if the line is
/// about several scopes.
pub(super) fn write(
    reached: Option<&Reached>,
    there: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let Some(reached) = reached else {
        return f.write_str("; this limit no longer exists");
    };
    let resource = reached.resource;
    let limit = amount(resource, reached.limit);
    let used = amount(resource, reached.used.unwrap_or_default());
    write!(f, ": {used} of {limit} in use{there} now")?;
    if matches!(resource, Resource::Streams | Resource::Conns) {
        f.write_str(", both directions together")?;
    }
    if reached.used.is_none() {
        f.write_str(", it no longer exists")?;
    }
    match reached.setting() {
        Some(setting) => write!(f, "; the limit is {setting}")?,
        None => f.write_str("; the limit is an override of this scope")?,
    }
    if resource == Resource::Memory {
        f.write_str(PRIORITIES)?;
    }
    Ok(())
}
