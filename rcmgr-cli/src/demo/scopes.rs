//! The scopes that the demo shows, held from its beginning: a peer scope that nothing refers to
//! would be gone with its last connection, and its peak with it.

use std::net::Ipv4Addr;

use rcmgr_atomic::{
    Limit, Manager, PeerId, Refusals, ResourceManager, ResourceScope, Scope, ScopeStat,
};

use super::plan::{Habit, Plan};
use super::server::SERVICE;
use super::stage::Stage;

/// Scopes in groups of one kind, each a line of the report.
pub struct Scopes {
    groups: Vec<Vec<Scope>>,
}

/// What a group has come to.
pub struct Summary {
    /// The scope's name, or the first and last of several.
    pub name: String,
    /// The highest peak of each counter.
    pub peak: ScopeStat,
    /// The limit of each.
    pub limit: Limit,
    /// What they refused together.
    pub refused: Refusals,
}

impl Scopes {
    /// The scopes of a plan's clients and of what is above them.
    pub fn of(manager: &Manager, plan: &Plan) -> Self {
        let peer =
            |address: Ipv4Addr| manager.view_peer(&PeerId::from(std::net::IpAddr::V4(address)));
        // A silent client never becomes a peer.
        let hoarding = |begins: Stage| {
            let floods = plan.floods.iter();
            floods
                .filter(move |flood| flood.habit == Habit::Hoards && flood.begins == begins)
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

    /// Every one of them.
    pub fn all(&self) -> impl Iterator<Item = &Scope> + Clone {
        self.groups.iter().flatten()
    }

    /// What they have come to.
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

/// How many connections were refused, for whatever they lacked.
pub fn connections_refused(refused: &Refusals) -> u64 {
    refused.conns_inbound + refused.conns_outbound + refused.fd
}
