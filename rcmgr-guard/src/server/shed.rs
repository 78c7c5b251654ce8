//! Sessions over a lowered limit: the longest idle are closed until the limits are met, if that is
//! set.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::address::Addresses;
use rcmgr_atomic::{Limits, Manager, Scope, SystemClock};
use rcmgr_core::address::{AddressConfig, AddressLimits, RateLimits};
use rcmgr_core::{Endpoint, Limit, LimitValue, Resource, ScopeClass, ScopeId, ScopeStat};
use tokio::time::{Instant, sleep};

use super::control::Control;
use crate::relay::{Activity, Cut};
use crate::session::Entry;

/// How often the usage is compared with the limits.
const LOOK: Duration = Duration::from_millis(250);

/// The classes of scopes that sessions are closed for, and the order: those of single clients first,
/// because they may be all that is too much for the others.
const CLASSES: [ScopeClass; 4] = [
    ScopeClass::ServicePeer,
    ScopeClass::Peer,
    ScopeClass::Service,
    ScopeClass::System,
];

/// Compares the usage with the limits again and again.
pub(super) async fn watch(control: Arc<Control>) {
    let mut shedder = Shedder::default();
    loop {
        sleep(LOOK).await;
        if control.sheds() {
            note_times(&control);
            shedder.look(&control);
        } else {
            shedder = Shedder::default();
        }
    }
}

/// Notes when bytes last moved in each session, more often than the sweeps do.
fn note_times(control: &Control) {
    for table in control.tables() {
        table.for_each(|entry| {
            entry.activity.last();
        });
    }
}

/// Closes sessions.
#[derive(Default)]
struct Shedder {
    /// The limits that are met.
    met: Option<Arc<Limits>>,
}

impl Shedder {
    /// Closes the sessions that are too many. Usage grows over no limit by itself, so all scopes are
    /// looked at only after a change of the limits.
    fn look(&mut self, control: &Control) {
        let manager = &control.shared.manager;
        let limits = manager.limits();
        let are_met = (self.met.as_ref()).is_some_and(|met| Arc::ptr_eq(met, &limits));
        if are_met && !shared_scopes_are_over(control) {
            return;
        }
        let (sessions, ends) = Session::all(control);
        if ends {
            return; // What they give back is not given back yet.
        }
        let mut over = over_limits(manager);
        let by_address = shed_by_address(manager, &sessions, &mut over);
        if over.is_empty() && by_address == 0 {
            self.met = Some(limits);
            return;
        }
        let by_scope = shed_by_scope(&sessions, &mut over);
        match by_address + by_scope {
            // The rest is not used by sessions that may be closed.
            0 => self.met = Some(limits),
            shed => tracing::info!("closed {shed} sessions that were over a lowered limit"),
        }
    }
}

/// A session that may be closed.
struct Session {
    last: Instant,
    entry: Entry,
}

impl Session {
    /// The sessions, the longest idle first, and whether others are about to end. Clients on the
    /// allowlist are left out: they are let in when others are not.
    fn all(control: &Control) -> (Vec<Self>, bool) {
        let manager = &control.shared.manager;
        let mut sessions = Vec::new();
        let mut ends = false;
        for table in control.tables() {
            table.for_each(|entry| {
                if entry.activity.is_cut() {
                    ends = true;
                } else if !entry.client.is_allowlisted(manager) {
                    let last = entry.activity.last();
                    let entry = entry.clone();
                    sessions.push(Self { last, entry });
                }
            });
        }
        sessions.sort_by_key(|session| session.last);
        (sessions, ends)
    }

    fn activity(&self) -> &Activity {
        &self.entry.activity
    }

    /// The scope of a class that it is charged on.
    fn scope(&self, class: ScopeClass) -> Option<ScopeId> {
        let service = || self.entry.route.listen.service.clone();
        let peer = self.entry.client.peer();
        match class {
            ScopeClass::System => Some(ScopeId::System),
            ScopeClass::Service => Some(ScopeId::Service(service())),
            ScopeClass::Peer => peer.map(ScopeId::Peer),
            ScopeClass::ServicePeer => peer.map(|peer| ScopeId::ServicePeer(service(), peer)),
            _ => None,
        }
    }

    /// Closes it. It is then too much for none of its scopes.
    fn shed(&self, over: &mut HashMap<ScopeId, u64>) {
        self.activity().cut(Cut::Shed);
        for scope in CLASSES.into_iter().filter_map(|class| self.scope(class)) {
            if let Some(count) = over.get_mut(&scope) {
                *count -= 1;
                if *count == 0 {
                    over.remove(&scope);
                }
            }
        }
    }
}

/// Whether the system or a service is over its limit. That may also be one that was set on the scope
/// alone.
fn shared_scopes_are_over(control: &Control) -> bool {
    let is_over = |class, scope: &Scope| too_many(class, &scope.limit(), &scope.stat()) > 0;
    is_over(ScopeClass::System, &control.shared.manager.view_system())
        || (control.tables().iter())
            .any(|table| is_over(ScopeClass::Service, table.front.route().service()))
}

/// How many sessions are too many for each scope.
fn over_limits(manager: &Manager) -> HashMap<ScopeId, u64> {
    let mut over = HashMap::new();
    manager.for_each_scope(|report| {
        let count = too_many(report.id.class(), &report.limit, &report.stat);
        if count > 0 {
            over.insert(report.id, count);
        }
    });
    over
}

/// How many sessions must end for a scope to be within its limit.
fn too_many(class: ScopeClass, limit: &Limit, stat: &ScopeStat) -> u64 {
    // What a session is charged on the scope.
    let [both, outbound] = match class {
        ScopeClass::System | ScopeClass::Service => [2, 1],
        ScopeClass::Peer | ScopeClass::ServicePeer => [1, 0],
        _ => return 0,
    };
    let charged = [
        (Resource::Conns, both),
        (Resource::ConnsInbound, 1),
        (Resource::ConnsOutbound, outbound),
        (Resource::Fd, both),
    ];
    let sessions = charged.into_iter().map(|(resource, each)| {
        let limit = limit.get(resource).number();
        let used = stat.get(resource);
        let excess = limit.map_or(0, |limit| used.saturating_sub(limit));
        excess.div_ceil(each.max(1))
    });
    sessions.max().unwrap_or(0)
}

/// Closes sessions of the scopes that are over their limits. Returns how many.
fn shed_by_scope(sessions: &[Session], over: &mut HashMap<ScopeId, u64>) -> usize {
    let mut shed = 0;
    for class in CLASSES {
        for session in sessions {
            if over.is_empty() {
                return shed;
            }
            let scope = session.scope(class);
            if scope.is_some_and(|scope| over.contains_key(&scope)) && !session.activity().is_cut()
            {
                session.shed(over);
                shed += 1;
            }
        }
    }
    shed
}

/// Closes sessions of the addresses and subnets that are over their limits. Returns how many.
///
/// Fresh limiters with the same limits admit the sessions again, the most active first. Those that they
/// refuse are too many.
fn shed_by_address(
    manager: &Manager,
    sessions: &[Session],
    over: &mut HashMap<ScopeId, u64>,
) -> usize {
    let config = AddressConfig {
        rates: RateLimits::none(),
        allowlist: Vec::new(),
        ..AddressConfig::clone(&manager.addresses().limits())
    };
    // They were valid before.
    let Ok(limits) = AddressLimits::new(config) else {
        return 0;
    };
    if limits.limit_nothing() {
        return 0;
    }
    let fresh = Addresses::new(limits, LimitValue::Unlimited, Arc::new(SystemClock::new()));
    let mut permits = Vec::new();
    let mut shed = 0;
    for session in sessions.iter().rev() {
        let endpoint = session.entry.client.endpoint();
        if matches!(endpoint, Endpoint::None) {
            continue;
        }
        match fresh.admit(endpoint) {
            Ok(permit) => permits.extend(permit),
            Err(_) => {
                session.shed(over);
                shed += 1;
            }
        }
    }
    shed
}
