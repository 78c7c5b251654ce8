//! Whether a request would be granted if nothing else were in use. If not, it does not wait.

use rcmgr_core::{Error, Limit, LimitExceeded, Refusals, Resource, Result, ScopeId, ScopeStat};

use super::leaf::Leaf;
use super::opening::for_leaf;
use super::request::{Over, Request, Turn, check, count_refusal};
use super::unproven::half;
use super::waiting::only;
use super::waits::Wanted;
use super::{Model, Target};

impl Model {
    /// Checks whether a request would be granted if nothing else were in use.
    pub(super) fn check_alone(&mut self, wanted: &Wanted) -> Result<(), (Error, Over)> {
        if let Wanted::Memory(target, ..) = wanted {
            let request = self.request(wanted, Turn::New);
            for at in self.chain(target) {
                let here = Target::Holder(at);
                let memory = self.limit_of(&here).memory;
                let limit = only(Resource::Memory, memory);
                self.check_alone_at(&here, &limit, &request)?;
            }
            return self.check_all_alone(&self.charged(target), &request);
        }
        let mut refused = Ok(());
        for leaf in self.new_leaves(wanted) {
            refused = self.check_leaf_alone(leaf);
            if refused.is_ok() {
                break;
            }
        }
        refused
    }

    fn check_leaf_alone(&mut self, mut leaf: Leaf) -> Result<(), (Error, Over)> {
        let kind = usize::from(leaf.is_stream());
        leaf.number = self.last_leaf[kind] + 1;
        let request = for_leaf(&leaf, Turn::New);
        let own = Target::Scope(leaf.id());
        let limit = self.limit(&leaf.id());
        // A leaf that its own error names uses up a number.
        self.check_alone_at(&own, &limit, &request)
            .inspect_err(|_| self.last_leaf[kind] += 1)?;
        if leaf.is_unproven {
            let transient = Target::Scope(ScopeId::AllowlistedTransient);
            let used = self.unproven_usage();
            alone(&half(&self.limits), &used, &request).map_err(|over| {
                self.error_alone(&transient, &half(&self.limits), &request, over)
            })?;
        }
        self.check_all_alone(&leaf.path(), &request)
    }

    fn check_all_alone(&self, ids: &[ScopeId], request: &Request) -> Result<(), (Error, Over)> {
        ids.iter().try_for_each(|id| {
            let target = Target::Scope(id.clone());
            let limit = self.limit_of(&target);
            self.check_alone_at(&target, &limit, request)
        })
    }

    fn check_alone_at(
        &self,
        target: &Target,
        limit: &Limit,
        request: &Request,
    ) -> Result<(), (Error, Over)> {
        alone(limit, &self.stat(target), request)
            .map_err(|over| self.error_alone(target, limit, request, over))
    }

    fn error_alone(
        &self,
        target: &Target,
        limit: &Limit,
        request: &Request,
        over: Over,
    ) -> (Error, Over) {
        let resource = over.resource;
        let error = LimitExceeded {
            scope: self.name(target),
            resource,
            direction: count_refusal(&mut Refusals::default(), request, &over),
            requested: over.requested,
            used: over.used,
            limit: limit.get(resource),
            priority: request.memory.then_some(request.priority),
        };
        (error.into(), over)
    }
}

/// Checks a request against a limit of which nothing is used. The refusal says what is used.
fn alone(limit: &Limit, used: &ScopeStat, request: &Request) -> Result<(), Over> {
    check(limit, &ScopeStat::ZERO, request).map_err(|over| Over {
        used: used.get(over.resource),
        ..over
    })
}
