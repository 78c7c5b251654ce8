//! Looks at a request with the limits of the dry run.

use rcmgr_core::{Limit, Refusals, ScopeClass, ScopeId, ScopeStat};

use super::dry_run::LetPass;
use super::leaf::Leaf;
use super::request::{Request, check};
use super::{Model, Target};

impl Model {
    /// How often scopes of this class would have refused in the dry run.
    pub fn dry_run_refusals(&self, class: ScopeClass) -> Refusals {
        self.dry_run.refusals(class)
    }

    /// How often the limits by address of the dry run would have refused since it began, and how many
    /// connections have a permit there. `None` without a dry run.
    pub fn dry_run_addresses(&self) -> Option<(u64, u64)> {
        self.dry_run.address_stat()
    }

    /// Looks whether the dry run would refuse a new leaf.
    pub(super) fn look_at_new(&self, leaf: &Leaf, path: &[ScopeId], request: &Request) -> LetPass {
        let dry_run = self.limits.dry_run.as_ref()?;
        let limit = self.limit_in(dry_run, &Target::Scope(leaf.id()));
        if let Err(over) = check(&limit, &ScopeStat::ZERO, request) {
            return Some((leaf.id().class(), over));
        }
        if leaf.is_unproven
            && let Err((_, over)) = self.check_unproven(dry_run, request)
        {
            return Some((ScopeClass::AllowlistedTransient, over));
        }
        self.look_at(&[], path, request)
    }

    /// Looks whether the dry run would refuse: the limits of these holders on memory, then those of
    /// shared scopes.
    pub(super) fn look_at(&self, holders: &[usize], ids: &[ScopeId], request: &Request) -> LetPass {
        let dry_run = self.limits.dry_run.as_ref()?;
        let holders = holders.iter().map(|&at| {
            let target = Target::Holder(at);
            let memory = self.limit_in(dry_run, &target).memory;
            let limit = Limit {
                memory,
                ..Limit::UNLIMITED
            };
            (target, limit)
        });
        let shared = ids.iter().map(|id| {
            let target = Target::Scope(id.clone());
            let limit = self.limit_in(dry_run, &target);
            (target, limit)
        });
        holders.chain(shared).find_map(|(target, limit)| {
            let over = check(&limit, &self.stat(&target), request).err()?;
            Some((self.name(&target).class(), over))
        })
    }
}
