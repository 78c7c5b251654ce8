//! Charging shared scopes, and refusing.

use rcmgr_core::{
    Direction, Error, Limit, LimitExceeded, Refusals, Resource, Result, ScopeId, ScopeStat,
};

use super::request::{Over, Request, check, minus, plus};
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

    /// Counts a refusal. The error that describes it.
    pub(super) fn refuse(
        &mut self,
        target: &Target,
        limit: &Limit,
        request: &Request,
        over: Over,
    ) -> Error {
        let scope = self.name(target);
        let Over {
            resource,
            used,
            requested,
        } = over;
        let refusals = self.refusals.entry(scope.class()).or_default();
        let direction = count_refusal(refusals, request, &over);
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

/// Counts a refusal. The direction that its error names.
pub fn count_refusal(refusals: &mut Refusals, request: &Request, over: &Over) -> Option<Direction> {
    let is_outbound = request.stat.streams_outbound + request.stat.conns_outbound > 0;
    let direction = match over.resource {
        Resource::Memory => None,
        // Only the total was over its limit. Nothing was asked for.
        _ if over.requested == 0 => None,
        _ if is_outbound => Some(Direction::Outbound),
        _ => Some(Direction::Inbound),
    };
    let outbound = direction == Some(Direction::Outbound);
    let count = match (over.resource, outbound) {
        (Resource::Memory, _) => &mut refusals.memory,
        (Resource::Fd, _) => &mut refusals.fd,
        (Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound, true) => {
            &mut refusals.streams_outbound
        }
        (Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound, false) => {
            &mut refusals.streams_inbound
        }
        (Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound, true) => {
            &mut refusals.conns_outbound
        }
        (Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound, false) => {
            &mut refusals.conns_inbound
        }
    };
    *count += 1;
    // Two parts of these counts.
    if over.resource == Resource::Fd {
        refusals.fd_outbound += u64::from(outbound);
    } else if direction.is_some() {
        refusals.conns_with_fd += request.stat.fd;
    }
    direction
}
