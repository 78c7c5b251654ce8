//! The part of the allowlisted transient scope for connections whose peer is not proven yet.
//!
//! An allowlist of peers alone admits every remote until its peer is known, so strangers could fill
//! the allowlisted scopes and keep the listed peers out. Such connections are charged on one more
//! node, whose limits are half of those of the allowlisted scopes. They leave it when their peer is
//! set, which proves the peer or moves them to the standard scopes, or when they are closed: the
//! node is on their path, so they leave it as they leave any other.
//!
//! Users see this node as a part of the allowlisted transient scope: it has the same name in errors,
//! its refusals are counted there, and records leave it out.

use std::sync::Arc;

use rcmgr_core::{Limit, LimitValue, Limits, ScopeId};

use crate::limits::LimitsVersion;
use crate::node::{Node, NodeLimit};

/// The part of the allowlisted transient scope.
pub struct Unproven(Arc<Node>);

impl Unproven {
    pub fn new(limits: &Limits) -> Self {
        let limit = limit_of_part(limits);
        Self(Node::new(ScopeId::AllowlistedTransient, None, &[limit; 2]).into_shared())
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.0
    }

    /// Whether the node is this part.
    pub fn is(&self, node: &Node) -> bool {
        std::ptr::eq(&*self.0, node)
    }

    /// Only one thread at a time may call this, from within
    /// [`CurrentVersion::change`](crate::limits::CurrentVersion::change).
    pub fn set_limit(&self, version: LimitsVersion, limits: &Limits) {
        self.0.set_limit(version, &limit_of_part(limits));
    }
}

fn limit_of_part(limits: &Limits) -> NodeLimit {
    NodeLimit {
        enforced: half(limits),
        dry_run: limits.dry_run.as_deref().map(half),
    }
}

/// Half of each limit of connections, rounded up: of the lower one of the two allowlisted scopes,
/// so that neither can be filled. What is unlimited stays unlimited.
fn half(limits: &Limits) -> Limit {
    let lower = limits
        .allowlisted_transient
        .lower(&limits.allowlisted_system);
    let half = |limit| match limit {
        LimitValue::Limited(limit) => LimitValue::Limited(limit.div_ceil(2)),
        LimitValue::Unlimited => LimitValue::Unlimited,
    };
    Limit {
        conns: half(lower.conns),
        conns_inbound: half(lower.conns_inbound),
        conns_outbound: half(lower.conns_outbound),
        fd: half(lower.fd),
        ..Limit::UNLIMITED
    }
}
