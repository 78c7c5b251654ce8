//! How a request that was granted is evaluated in a dry run: see `dry_run.rs`.

use rcmgr_core::{Endpoint, Resource};

use super::dry_run::{DryRunPermit, Granted};
use super::state::{Engine, Path};
use crate::counters::{RefusalCounts, Slot};
use crate::limits::LimitsVersion;
use crate::node::Node;
use crate::sync::call_user_code;

/// A refusal that was let pass: where it is counted, and for which resource.
pub type LetPass<'a> = (&'a RefusalCounts, Resource);

impl Engine {
    #[inline]
    pub fn has_dry_run(&self) -> bool {
        self.dry_run().is_on()
    }

    /// Whether new leaves are recorded, or evaluated in a dry run.
    #[inline]
    pub fn is_observed(&self) -> bool {
        self.dry_run().is_observed()
    }

    /// Evaluates a request that was granted: first by `own`, for the leaf and the spans that it was
    /// made on, then by these nodes. The first refusal is counted.
    #[cold]
    pub fn evaluate<'a>(
        &self,
        granted: Granted,
        own: impl Fn(LimitsVersion) -> Option<LetPass<'a>>,
        nodes: impl Iterator<Item = &'a Node> + Clone,
    ) {
        let refused_by = |node: &'a Node, version| {
            let limit = node.dry_run.limit(version);
            let resource = granted.refused_by(&limit, &self.stat(node))?;
            Some((node.dry_run.refusals(), resource))
        };
        let refused = self.versions().read(|version| {
            own(version).or_else(|| nodes.clone().find_map(|node| refused_by(node, version)))
        });
        if let Some((refusals, resource)) = refused {
            refusals.count(resource, granted.slot_for(resource));
        }
    }

    /// Evaluates a new leaf on this path.
    #[cold]
    pub fn evaluate_new(&self, path: &Path, slot: Slot) {
        let (class, granted) = (self.leaf_class(slot), Granted::new_leaf(slot));
        let own = |version| {
            let limit = class.dry_run_limit.get(version);
            let resource = granted.refused_by(&limit, granted.amount())?;
            Some((&class.dry_run_refusals, resource))
        };
        self.evaluate(granted, own, path.iter());
    }

    /// Evaluates a new connection by the limits by address, which come before the scopes. Returns
    /// its permit there, if it has one.
    #[cold]
    pub fn evaluate_connection(
        &self,
        endpoint: Endpoint,
        path: &Path,
        slot: Slot,
    ) -> Option<DryRunPermit> {
        let addresses = self.dry_run().addresses()?;
        let mut evaluated = None;
        // It reads the clock.
        call_user_code(|| evaluated = Some(addresses.evaluate(endpoint)));
        let (permit, refused) = evaluated?;
        if refused.is_none() {
            self.evaluate_new(path, slot);
        }
        Some(DryRunPermit::new(addresses, permit))
    }
}
