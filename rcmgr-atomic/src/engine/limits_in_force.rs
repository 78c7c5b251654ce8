//! The limits in force: of all scopes, and of single ones.

use std::cell::Cell;
use std::sync::Arc;

use rcmgr_core::{Error, Limit, Limits, ScopeId};

use super::dry_run::with_flat_dry_run;
use super::state::Engine;
use crate::lending::{recall_conns, recalls_all};
use crate::limits::{LimitsVersion, check_support};
use crate::node::{Node, NodeLimit};
use crate::sync::{Ordering, call_user_code};
use crate::waiting::WakeLater;

impl Engine {
    pub fn limits(&self) -> Arc<Limits> {
        let limits = self
            .versions
            .read(|version| self.limits[version.slot()].get());
        // The limits by address can be changed alone, too.
        let addresses = self.addresses().limits();
        if addresses == limits.addresses {
            return limits;
        }
        Arc::new(Limits {
            addresses,
            ..Limits::clone(&limits)
        })
    }

    /// Whether a service of this name has a limit of its own or by default.
    pub fn has_service_limit(&self, name: &str) -> bool {
        let id = ScopeId::Service(name.into());
        let has_limit = |version: LimitsVersion| {
            self.limits[version.slot()].with(|limits| limits.service_limit(name).is_some())
        };
        self.overrides.read(&id, |_| ()).is_some() || self.versions.read(has_limit)
    }

    /// The limit of a node.
    pub fn limit(&self, node: &Node) -> Limit {
        self.versions.read(|version| node.limit(version))
    }

    /// The limit that the node of this name must have under a version. An override holds in a dry
    /// run, too.
    pub(super) fn limit_of(&self, id: &ScopeId, version: LimitsVersion) -> NodeLimit {
        let limit_override = self.overrides.read(id, |limit| *limit);
        let limit = |limits: &Limits| limit_override.unwrap_or_else(|| limit_in(limits, id));
        self.limits[version.slot()].with(|limits| NodeLimit {
            enforced: limit(limits),
            dry_run: limits.dry_run.as_deref().map(limit),
        })
    }

    /// Puts a new version of the limits in force, with the changes that `write` writes.
    pub fn change_limits(&self, write: impl Fn(LimitsVersion)) {
        let _wake_later = WakeLater::begin();
        let one_at_a_time = self.limits_lock.lock();
        self.change_alone(write);
        drop(one_at_a_time);
        self.wake_for_limits();
    }

    /// Wakes the requests that wait, after a change of the limits: there may be more room, or a
    /// request may be larger than its limit now. Wakers are code of the user, so no lock is held.
    fn wake_for_limits(&self) {
        self.waiters().wake_all();
    }

    /// The same. The caller holds the lock.
    fn change_alone(&self, write: impl Fn(LimitsVersion)) {
        let version = self.versions.change(write);
        if recalls_all(version) {
            self.recall_all();
        }
    }

    /// Recalls all credit: of the paths, and of the nodes that may hold connections.
    fn recall_all(&self) {
        self.lending.recall_all_paths();
        self.for_each_lasting_node(&mut |node| recall_conns(node, self.waiters()));
    }

    pub fn set_limits(&self, limits: Limits) {
        let limits = with_flat_dry_run(limits);
        if let Err(why) = check_support(&limits) {
            self.warn_once(&why);
        }
        let _wake_later = WakeLater::begin();
        let one_at_a_time = self.limits_lock.lock();
        let had_dry_run = self.has_dry_run();
        let evaluated = limits.dry_run.as_deref();
        let dry_run_addresses = self.dry_run().addresses_for(&limits, self.clock());
        let are_addresses_set = Cell::new(false);
        self.change_alone(|version| {
            let dry_run = evaluated.map(|dry_run| &dry_run.conn);
            self.conn.set_limit(version, &limits.conn, dry_run);
            let dry_run = evaluated.map(|dry_run| &dry_run.stream);
            self.stream.set_limit(version, &limits.stream, dry_run);
            self.overrides
                .retain(|id| matches!(id, ScopeId::Peer(_) | ScopeId::Protocol(_)));
            // First for the nodes that are made from now on, then for the nodes that are there.
            self.limits[version.slot()].set(limits.clone());
            self.visit_each(&mut |node| {
                node.set_limit(version, &self.limit_of(node.id(), version));
            });
            self.unproven().set_limit(version, &limits);
            // Only in the first of two calls: the limits by address can be changed alone, and the
            // second call must not undo a change that was made since the first.
            if !are_addresses_set.replace(true) {
                let conns = limits.allowlisted_system.conns;
                self.addresses().set(limits.addresses.clone(), conns);
                self.dry_run().set(&limits, &dry_run_addresses);
            }
        });
        // With a dry run there is no credit. What is out is not valid under the new version.
        if self.has_dry_run() && !had_dry_run {
            self.recall_all();
        }
        drop(one_at_a_time);
        self.wake_for_limits();
    }

    /// Logs, the first time, that some limits are not enforced.
    #[cold]
    fn warn_once(&self, why: &Error) {
        // Relaxed: the flag publishes nothing.
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            call_user_code(|| tracing::warn!("limits that are not enforced: {why}"));
        }
    }

    /// Sets the limit of one node, or takes that back.
    pub fn set_limit(&self, node: &Node, limit: Option<Limit>) {
        let id = node.id();
        self.change_limits(|version| {
            match limit {
                Some(limit) => self.overrides.insert(id.clone(), limit),
                None => drop(self.overrides.remove_if(id, |_| true)),
            }
            node.set_limit(version, &self.limit_of(id, version));
        });
    }
}

/// The limit of the scope of this name in a set of limits.
fn limit_in(limits: &Limits, id: &ScopeId) -> Limit {
    match id {
        ScopeId::System => limits.system,
        ScopeId::Transient => limits.transient,
        ScopeId::AllowlistedSystem => limits.allowlisted_system,
        ScopeId::AllowlistedTransient => limits.allowlisted_transient,
        ScopeId::Service(name) => limits.service_limit(name).unwrap_or(Limit::UNLIMITED),
        ScopeId::ServicePeer(name, _) => limits.service_peer_limit(name),
        ScopeId::Protocol(id) => limits.protocol_limit(id),
        ScopeId::ProtocolPeer(id, _) => limits.protocol_peer_limit(id),
        ScopeId::Peer(id) => limits.peer_limit(id),
        ScopeId::Connection(_) => limits.conn,
        ScopeId::Stream(_) => limits.stream,
    }
}
