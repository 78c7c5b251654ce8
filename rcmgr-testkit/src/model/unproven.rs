//! Connections that an allowlist of peers alone let in, until their peer is known: they may have half of
//! what the allowlisted scopes allow.

use rcmgr_core::{Limit, LimitValue, Limits, ScopeStat};

use super::leaf::End;
use super::request::{Over, Request, check, plus};
use super::{HolderKind, Model};

impl Model {
    /// What the connections hold whose peer is not proven.
    pub(super) fn unproven_usage(&self) -> ScopeStat {
        let mut usage = ScopeStat::ZERO;
        for holder in self.holders.iter().filter(|holder| !holder.closed) {
            if let HolderKind::Leaf(leaf) = &holder.kind
                && leaf.is_unproven
                && leaf.end == End::Allowlisted
                && leaf.peer.is_none()
            {
                usage = plus(usage, leaf.counts());
            }
        }
        usage
    }

    /// Checks whether one more of them may come in. The limit that refused, if not.
    pub(super) fn check_unproven(
        &self,
        limits: &Limits,
        request: &Request,
    ) -> Result<(), (Limit, Over)> {
        let limit = half(limits);
        check(&limit, &self.unproven_usage(), request).map_err(|over| (limit, over))
    }
}

pub fn half(limits: &Limits) -> Limit {
    let of = |[one, other]: [LimitValue; 2]| match one.min(other) {
        LimitValue::Limited(limit) => LimitValue::Limited(limit / 2 + limit % 2),
        LimitValue::Unlimited => LimitValue::Unlimited,
    };
    let both = [limits.allowlisted_transient, limits.allowlisted_system];
    Limit {
        conns: of(both.map(|limit| limit.conns)),
        conns_inbound: of(both.map(|limit| limit.conns_inbound)),
        conns_outbound: of(both.map(|limit| limit.conns_outbound)),
        fd: of(both.map(|limit| limit.fd)),
        ..Limit::UNLIMITED
    }
}
