//! Warnings about limits that cannot have the effect that they seem to have.

mod addresses;
mod kind;
mod scopes;
#[cfg(test)]
mod tests;

use rcmgr_core::Limits;

use crate::Machine;

pub use kind::{Setting, Warning, WarningKind};

/// See [`LimitsExt::warnings`](crate::LimitsExt::warnings).
pub(crate) fn warnings(limits: &Limits, machine: Option<&Machine>) -> Vec<Warning> {
    of(limits, machine, false)
}

/// See [`LimitsExt::warnings_over`](crate::LimitsExt::warnings_over).
pub(crate) fn warnings_over(
    limits: &Limits,
    defaults: &Limits,
    machine: Option<&Machine>,
) -> Vec<Warning> {
    let known = of(defaults, machine, true);
    let mut warnings = of(limits, machine, true);
    warnings.retain(|warning| !known.contains(warning));
    warnings
}

/// `strict` reports also numbers that a table has on some machines.
fn of(limits: &Limits, machine: Option<&Machine>, strict: bool) -> Vec<Warning> {
    let mut warnings = scopes::warnings(limits, machine, strict);
    warnings.extend(addresses::warnings(limits));
    if let Some(dry_run) = &limits.dry_run {
        let enforced = Limits {
            dry_run: None,
            // Nothing waits in a dry run.
            waiters: dry_run.waiters,
            ..limits.clone()
        };
        if **dry_run == enforced {
            warnings.push(Warning {
                setting: Setting::DryRun,
                kind: WarningKind::SameAsEnforced,
            });
        }
    }
    warnings
}
