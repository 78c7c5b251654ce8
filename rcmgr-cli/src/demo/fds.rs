//! The number of file descriptors that this process may open.

use super::format::grouped;

/// Raises the soft limit to `needed` if it is lower. Returns the limit now, and a notice if it is
/// too low.
pub fn raise(needed: u64) -> (u64, Option<String>) {
    match rlimit::increase_nofile_limit(needed) {
        Ok(allowed) if allowed >= needed => (allowed, None),
        Ok(allowed) => (
            allowed,
            Some(too_few(needed, allowed, "the hard limit is reached")),
        ),
        Err(error) => {
            // If the limit is unknown, use the number that every system allows.
            let allowed = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(256, |(soft, _)| soft);
            (allowed, Some(too_few(needed, allowed, &error.to_string())))
        }
    }
}

fn too_few(needed: u64, allowed: u64, why: &str) -> String {
    format!(
        "{} file descriptors are needed, but only {} are allowed: the soft limit could not be \
         raised further ({why})",
        grouped(needed),
        grouped(allowed),
    )
}
