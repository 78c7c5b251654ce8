//! The scopes that the demo reports. They are referenced from the start, because an unreferenced
//! peer scope is collected with its last connection, and its peak is lost.

use std::net::Ipv4Addr;

use rcmgr_atomic::{Limit, Manager, PeerId, Refusals, Scope, ScopeStat};

use super::plan::{Behaviour, Plan};
use super::server::SERVICE;
use super::stage::Stage;

/// Groups of similar scopes. Each group is a line of the report.
pub struct Scopes {
    groups: Vec<Vec<Scope>>,
}

/// The summary of a group.
pub struct Summary {
    /// The name of the scope, or the first and last name of several.
    pub name: String,
    /// The highest peak of each counter.
    pub peak: ScopeStat,
    /// The limit of each scope.
    pub limit: Limit,
    /// The refusals of all scopes.
    pub refused: Refusals,
}

impl Scopes {
    /// The scopes of the clients of a plan, and the scopes above.
    pub fn of(manager: &Manager, plan: &Plan) -> Self {
        let peer =
            |address: Ipv4Addr| manager.view_peer(&PeerId::from(std::net::IpAddr::V4(address)));
        // A silent client never gets a peer scope.
        let hoarding = |begins: Stage| {
            let floods = plan.floods.iter();
            floods
                .filter(move |flood| flood.behaviour == Behaviour::Hoard && flood.begins == begins)
                .map(|flood| peer(flood.from))
                .collect()
        };
        let groups = vec![
            vec![manager.view_system()],
            vec![manager.view_transient()],
            vec![manager.view_service(SERVICE)],
            plan.honest.iter().copied().map(peer).collect(),
            hoarding(Stage::OneHoards),
            hoarding(Stage::AllHoard),
        ];
        Self {
            groups: groups
                .into_iter()
                .filter(|group| !group.is_empty())
                .collect(),
        }
    }

    /// All scopes.
    pub fn all(&self) -> impl Iterator<Item = &Scope> + Clone {
        self.groups.iter().flatten()
    }

    /// The summaries of all groups.
    pub fn summaries(&self) -> Vec<Summary> {
        self.groups.iter().map(|group| summary(group)).collect()
    }
}

fn summary(group: &[Scope]) -> Summary {
    let (first, last) = (&group[0], &group[group.len() - 1]);
    let name = match group.len() {
        1 => first.name().to_string(),
        _ => format!("{} to {}, highest", first.name(), last.name()),
    };
    let peaks = group.iter().map(Scope::peak);
    Summary {
        name,
        peak: peaks.reduce(highest).unwrap_or_default(),
        limit: first.limit(),
        refused: group.iter().map(Scope::refusals).sum(),
    }
}

fn highest(one: ScopeStat, other: ScopeStat) -> ScopeStat {
    ScopeStat {
        streams_inbound: one.streams_inbound.max(other.streams_inbound),
        streams_outbound: one.streams_outbound.max(other.streams_outbound),
        conns_inbound: one.conns_inbound.max(other.conns_inbound),
        conns_outbound: one.conns_outbound.max(other.conns_outbound),
        fd: one.fd.max(other.fd),
        memory: one.memory.max(other.memory),
    }
}

/// The number of refused connections, whichever limit was reached.
pub fn connections_refused(refused: &Refusals) -> u64 {
    refused.conns_inbound + refused.conns_outbound + refused.fd
}
