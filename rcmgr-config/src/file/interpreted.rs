//! The limits of a text, and the lines of its settings.

use std::collections::BTreeMap;

use rcmgr_core::{LimitsKey, Resource};

use crate::{AddressKey, PartialLimits};

/// The limits of a text, and the lines of its settings.
#[derive(Debug, Default)]
pub(super) struct Interpreted {
    pub(super) limits: PartialLimits,
    pub(super) waiters_line: Option<usize>,
    pub(super) lines: BTreeMap<(LimitsKey, Resource), usize>,
    pub(super) address_lines: BTreeMap<AddressKey, usize>,
    pub(super) dry_run_lines: BTreeMap<(LimitsKey, Resource), usize>,
    pub(super) dry_run_address_lines: BTreeMap<AddressKey, usize>,
}
