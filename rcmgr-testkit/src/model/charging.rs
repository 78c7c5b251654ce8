//! Charging shared scopes, and refusing.

use rcmgr_core::{Error, Limit, LimitExceeded, Refusals, Resource, Result, ScopeId, ScopeStat};

use super::request::{Over, Request, check, count_refusal, minus, plus};
use super::{Model, Target};

impl Model {
    /// Charges all of these scopes or none.
    pub(super) fn charge(&mut self, ids: &[ScopeId], request: Request) -> Result<()> {
        for id in ids {
            let target = Target::Scope(id.clone());
            let (limit, used) = (self.limit(id), self.stat(&target));
            if let Err(over) = check(&limit, &used, &request) {
                return Err(self.refuse(&target, &limit, &request, over));
            }
            self.check_turn(&target, &request)?;
        }
        for id in ids {
            let used = self.usage.entry(id.clone()).or_default();
            *used = plus(*used, request.stat);
        }
        Ok(())
    }

    pub(super) fn give_back(&mut self, ids: &[ScopeId], stat: ScopeStat) {
        for id in ids {
            let used = self.usage.get_mut(id).expect("what is held was charged");
            *used = minus(*used, stat);
        }
    }

    /// Counts a refusal, if it is final. The error that describes it.
    pub(super) fn refuse(
        &mut self,
        target: &Target,
        limit: &Limit,
        request: &Request,
        over: Over,
    ) -> Error {
        let scope = self.name(target);
        let mut uncounted = Refusals::default();
        let refusals = match request.turn.is_final() {
            true => self.refusals.entry(scope.class()).or_default(),
            false => &mut uncounted,
        };
        let direction = count_refusal(refusals, request, &over);
        let Over {
            resource,
            used,
            requested,
        } = over;
        LimitExceeded {
            scope,
            resource,
            direction,
            requested,
            used,
            limit: limit.get(resource),
            priority: (resource == Resource::Memory).then_some(request.priority),
        }
        .into()
    }
}
