//! Whether the limits of a line are enforced, or only evaluated.

use std::borrow::Cow;
use std::sync::Arc;

use rcmgr_atomic::address::{AddressStat, RefusedNetwork};
use rcmgr_atomic::{Manager, ScopeReport};
use rcmgr_core::{Limit, Limits, Refusals, ScopeClass, ScopeId};

use crate::reached::{entry_of, subnet_tables};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Enforced,
    /// The limits of a dry run: they refuse nothing.
    DryRun,
}

impl Mode {
    /// The beginning of a line, and what the scopes did.
    pub const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Enforced => ["", "refused"],
            Self::DryRun => ["dry run: ", "would have refused"],
        }
    }

    pub const fn refusals(self, report: &ScopeReport) -> Refusals {
        match self {
            Self::Enforced => report.refusals,
            Self::DryRun => report.dry_run_refusals,
        }
    }

    pub fn all_refusals(self, manager: &Manager) -> [Refusals; ScopeClass::ALL.len()] {
        match self {
            Self::Enforced => manager.all_refusals(),
            Self::DryRun => manager.dry_run_refusals(),
        }
    }

    /// The scopes that no longer exist. In a dry run their names are not known.
    pub fn past_refusers(self, manager: &Manager, class: ScopeClass) -> Vec<(ScopeId, Refusals)> {
        match self {
            Self::Enforced => manager.past_refusers(class),
            Self::DryRun => Vec::new(),
        }
    }

    /// `None` if there is no dry run.
    pub fn addresses(self, manager: &Manager) -> Option<AddressStat> {
        match self {
            Self::Enforced => Some(manager.addresses().stat()),
            Self::DryRun => manager.dry_run_addresses(),
        }
    }

    /// The fields of the configuration that have the limits of a limiter of addresses.
    pub fn addresses_key(self, manager: &Manager, limiter: &str) -> &'static str {
        match (limiter, self) {
            ("rate", _) => "Addresses.Rates",
            (_, Self::Enforced) => subnet_tables(&manager.addresses().limits()),
            (_, Self::DryRun) => subnet_tables(&self.limits(&manager.limits()).addresses),
        }
    }

    /// The networks that were refused most often. In a dry run they are not known.
    pub fn most_refused(self, manager: &Manager, most: usize) -> Vec<RefusedNetwork> {
        match self {
            Self::Enforced => manager.addresses().most_refused(most),
            Self::DryRun => Vec::new(),
        }
    }

    /// The limits. A dry run that has ended since has none.
    pub fn limits(self, limits: &Arc<Limits>) -> Arc<Limits> {
        match (self, &limits.dry_run) {
            (Self::Enforced, _) => limits.clone(),
            (Self::DryRun, Some(evaluated)) => evaluated.clone(),
            (Self::DryRun, None) => Arc::new(Limits::unlimited()),
        }
    }

    /// The scope with its limit of this mode. An override holds in both.
    pub fn with_limit<'a>(self, report: &'a ScopeReport, limits: &Limits) -> Cow<'a, ScopeReport> {
        let configured =
            |limits: &Limits| -> Option<Limit> { limits.lookup(&entry_of(&report.id, limits)?) };
        let is_override = configured(limits) != Some(report.limit);
        match &limits.dry_run {
            Some(evaluated) if self == Self::DryRun && !is_override => {
                let limit = configured(evaluated).unwrap_or(Limit::UNLIMITED);
                let mut report = report.clone();
                report.limit = limit;
                Cow::Owned(report)
            }
            _ => Cow::Borrowed(report),
        }
    }
}
