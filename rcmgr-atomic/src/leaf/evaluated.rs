//! How a reservation on a leaf is evaluated in a dry run.

use rcmgr_core::{LimitValue, Resource};

use super::state::Leaf;
use crate::charge::Memory;
use crate::engine::{Engine, Granted, LetPass};
use crate::limits::LimitsVersion;

impl Leaf {
    /// Evaluates a reservation for the leaf itself.
    #[cold]
    pub(super) fn evaluate_reserved(&self, charge: Memory) {
        let engine = self.engine();
        let granted = Granted::memory(charge.size, charge.level);
        let own = |version| self.let_pass(engine, version, granted);
        engine.evaluate(granted, own, self.path().iter());
    }

    /// Whether the limit of the leaf itself would have refused a reservation.
    pub fn let_pass<'a>(
        &self,
        engine: &'a Engine,
        version: LimitsVersion,
        granted: Granted,
    ) -> Option<LetPass<'a>> {
        let limit = self.dry_run_memory_limit(engine, version);
        let is_refused = granted.memory_refused_by(limit, self.stat().memory);
        let refusals = &engine.leaf_class(self.slot()).dry_run_refusals;
        is_refused.then_some((refusals, Resource::Memory))
    }

    /// The limit of memory in the dry run. An override holds there, too.
    pub fn dry_run_memory_limit(&self, engine: &Engine, version: LimitsVersion) -> LimitValue {
        let own = self.limit_override(version);
        let class = engine.leaf_class(self.slot());
        own.unwrap_or_else(|| class.dry_run_limit.get(version))
            .memory
    }
}
