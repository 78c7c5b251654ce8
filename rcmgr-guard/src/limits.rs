//! The limits of the proxy: those of a file over no limits at all.

use std::sync::Arc;

use rcmgr_config::PartialLimits;
use rcmgr_core::Limits;

/// The limits of the proxy that a file sets. All others are unlimited.
///
/// In a dry run the file's limits are evaluated, and none is enforced.
pub fn limits(set: &PartialLimits, dry_run: bool) -> Limits {
    let unlimited = Limits {
        waiters: Limits::WAITERS,
        ..Limits::unlimited()
    };
    let limits = set.build(&unlimited);
    match dry_run {
        false => limits,
        true => Limits {
            dry_run: Some(Arc::new(limits)),
            ..unlimited
        },
    }
}
