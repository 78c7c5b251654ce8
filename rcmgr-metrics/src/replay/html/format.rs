//! Numbers for people.

use rcmgr_config::ByteSize;
use rcmgr_core::{Resource, shown};

/// Seconds with a useful number of digits.
pub fn seconds(nanos: u64) -> String {
    match nanos as f64 / 1e9 {
        seconds @ ..10.0 => format!("{seconds:.3}"),
        seconds => format!("{seconds:.0}"),
    }
}

/// Bytes in the largest unit.
pub fn size(bytes: u64) -> String {
    format!("{:.1}", ByteSize(bytes))
}

/// An amount of a resource, for people.
pub fn amount(resource: Resource, amount: u64) -> String {
    match resource {
        Resource::Memory => size(amount),
        _ => amount.to_string(),
    }
}

/// A name from the trace: without invisible characters, and cut.
pub fn name(name: &str) -> String {
    format!("{:.200}", shown(name))
}
