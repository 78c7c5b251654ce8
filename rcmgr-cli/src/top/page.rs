//! The answer of the live view: a page of scopes, and what the server says about itself.
//!
//! Servers of earlier versions say less about themselves. What is missing is not shown.

mod server;
mod waiting;

use std::collections::HashMap;

use rcmgr_atomic::{Limit, LimitValue, Refusals, Resource, ScopeStat};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::text::escaped;
pub use server::{Addresses, DryRun, Network, Origin, RefusedNow, Refuser, Reload};
pub use waiting::{Queue, WaitTotals};

/// A page.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// The number of all scopes.
    pub total: u64,
    /// The number of matching scopes.
    pub matched: u64,
    /// The index of the first scope of the page among them.
    pub offset: u64,
    /// Always present, independent of the search.
    pub system: Option<Scope>,
    pub transient: Option<Scope>,
    /// The scopes of the page, in the requested order.
    pub scopes: Vec<Scope>,
    /// The number of matching scopes that offsets reach; `None` for all.
    pub reachable: Option<u64>,
    /// The scope that the query asked for in detail, if it exists.
    pub scope: Option<Detail>,
    /// What the server refused since its reading before.
    pub refusing: Option<RefusedNow>,
    /// The name of the server.
    #[serde(default, deserialize_with = "server::text")]
    pub name: Option<String>,
    pub uptime_seconds: Option<f64>,
    /// How often more was released than was held: each is a mistake in the server's program.
    pub over_releases: Option<u64>,
    /// `None` also if the limits are not reloaded.
    pub reload: Option<Reload>,
    pub addresses: Option<Addresses>,
    /// `None` also if there is no dry run.
    pub dry_run: Option<DryRun>,
    /// The queues of requests that wait for room, as far as the server lists them.
    #[serde(default)]
    pub waiting: Vec<Queue>,
    /// The number of all queues.
    #[serde(default)]
    pub waiting_queues: u64,
    /// The number of requests in all queues.
    #[serde(default)]
    pub waiting_requests: u64,
    pub wait_totals: Option<WaitTotals>,
}

impl Page {
    /// The scopes that are in every answer.
    pub fn pinned(&self) -> Vec<&Scope> {
        [&self.system, &self.transient]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The number of matching scopes that can be shown.
    pub fn reachable(&self) -> u64 {
        self.reachable.unwrap_or(u64::MAX).min(self.matched)
    }
}

/// A scope with the origin of each limit.
#[derive(Debug, Clone, Deserialize)]
pub struct Detail {
    #[serde(flatten)]
    pub scope: Scope,
    /// By resource.
    #[serde(default)]
    pub origins: HashMap<String, Origin>,
    /// The queues of the scope and of its spans.
    #[serde(default)]
    pub waiting: Vec<Queue>,
}

/// The name of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "String")]
pub struct Name {
    /// For the screen: see [`escaped`].
    pub shown: String,
    /// As the server spells it.
    pub exact: String,
}

impl From<String> for Name {
    fn from(exact: String) -> Self {
        Self {
            shown: escaped(&exact),
            exact,
        }
    }
}

/// The current state of a scope.
#[derive(Debug, Clone, Deserialize)]
pub struct Scope {
    pub name: Name,
    /// The class of the scope, such as `service-peer`.
    #[serde(default)]
    pub class: String,
    #[serde(deserialize_with = "counters")]
    pub used: ScopeStat,
    #[serde(deserialize_with = "counters")]
    pub peak: ScopeStat,
    #[serde(deserialize_with = "limit")]
    pub limit: Limit,
    /// The number of refusals of each resource.
    #[serde(deserialize_with = "refusals")]
    pub refusals: Refusals,
    /// The number of refusals that the limits of the dry run would have added.
    #[serde(default, deserialize_with = "refusals")]
    pub dry_run_refusals: Refusals,
}

impl Scope {
    /// The usage of a resource.
    pub const fn used(&self, resource: Resource) -> u64 {
        of(&self.used, resource)
    }

    /// The utilisation of a limit; `None` if there is none. A limit of zero counts as one.
    pub fn part(&self, resource: Resource) -> Option<f64> {
        match self.limit.get(resource) {
            LimitValue::Limited(most) => Some(self.used(resource) as f64 / most.max(1) as f64),
            LimitValue::Unlimited => None,
        }
    }

    /// The fullest of some limits and its utilisation; the first of equal ones.
    pub fn fullest(&self, of: &[Resource]) -> Option<(Resource, f64)> {
        let parts = of.iter().filter_map(|&one| Some((one, self.part(one)?)));
        parts.reduce(|fullest, next| if next.1 > fullest.1 { next } else { fullest })
    }

    /// The peak of a resource. It is not known for both directions together.
    pub const fn peak(&self, resource: Resource) -> Option<u64> {
        match resource {
            Resource::Streams | Resource::Conns => None,
            _ => Some(of(&self.peak, resource)),
        }
    }

    /// The number of refusals of a resource. They are only counted by direction.
    pub const fn refused(&self, resource: Resource) -> Option<u64> {
        counted(&self.refusals, resource)
    }

    /// The number of refusals that the limits of the dry run would have added.
    pub const fn refused_by_dry_run(&self, resource: Resource) -> Option<u64> {
        counted(&self.dry_run_refusals, resource)
    }

    /// The number of all refusals.
    pub fn all_refused(&self) -> u64 {
        total(&self.refusals)
    }

    /// Whether it has a limit.
    pub fn is_limited(&self) -> bool {
        Resource::ALL
            .iter()
            .any(|&resource| self.part(resource).is_some())
    }
}

const fn counted(refusals: &Refusals, resource: Resource) -> Option<u64> {
    match resource {
        Resource::Streams | Resource::Conns => None,
        _ => Some(refusals.get(resource)),
    }
}

/// The number of all refusals. The sum must not overflow, because the numbers come from a server.
pub fn total(refusals: &Refusals) -> u64 {
    let counts = Resource::COUNTED.map(|resource| refusals.get(resource));
    counts.into_iter().fold(0, u64::saturating_add)
}

const fn of(stat: &ScopeStat, resource: Resource) -> u64 {
    match resource {
        Resource::Memory => stat.memory,
        Resource::Fd => stat.fd,
        // The sum must not overflow either.
        Resource::Streams => stat.streams_inbound.saturating_add(stat.streams_outbound),
        Resource::StreamsInbound => stat.streams_inbound,
        Resource::StreamsOutbound => stat.streams_outbound,
        Resource::Conns => stat.conns_inbound.saturating_add(stat.conns_outbound),
        Resource::ConnsInbound => stat.conns_inbound,
        Resource::ConnsOutbound => stat.conns_outbound,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Counters {
    memory: u64,
    fd: u64,
    streams_inbound: u64,
    streams_outbound: u64,
    conns_inbound: u64,
    conns_outbound: u64,
}

fn counters<'de, D: Deserializer<'de>>(from: D) -> Result<ScopeStat, D::Error> {
    let counters = Counters::deserialize(from)?;
    Ok(ScopeStat {
        memory: counters.memory,
        fd: counters.fd,
        streams_inbound: counters.streams_inbound,
        streams_outbound: counters.streams_outbound,
        conns_inbound: counters.conns_inbound,
        conns_outbound: counters.conns_outbound,
    })
}

fn refusals<'de, D: Deserializer<'de>>(from: D) -> Result<Refusals, D::Error> {
    let counters = Counters::deserialize(from)?;
    Ok(Refusals {
        memory: counters.memory,
        fd: counters.fd,
        streams_inbound: counters.streams_inbound,
        streams_outbound: counters.streams_outbound,
        conns_inbound: counters.conns_inbound,
        conns_outbound: counters.conns_outbound,
        ..Refusals::default()
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Limits {
    memory: Most,
    fd: Most,
    streams: Most,
    streams_inbound: Most,
    streams_outbound: Most,
    conns: Most,
    conns_inbound: Most,
    conns_outbound: Most,
}

/// A number, or `"unlimited"`.
struct Most(LimitValue);

impl<'de> Deserialize<'de> for Most {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value {
            Number(u64),
            Word(String),
        }
        match Value::deserialize(from) {
            Ok(Value::Number(most)) => Ok(Self(LimitValue::of(most))),
            Ok(Value::Word(word)) if word == "unlimited" => Ok(Self(LimitValue::Unlimited)),
            _ => Err(D::Error::custom(
                "a limit must be a whole number or \"unlimited\"",
            )),
        }
    }
}

fn limit<'de, D: Deserializer<'de>>(from: D) -> Result<Limit, D::Error> {
    let limits = Limits::deserialize(from)?;
    let mut limit = Limit::UNLIMITED;
    limit.memory = limits.memory.0;
    limit.fd = limits.fd.0;
    limit.streams = limits.streams.0;
    limit.streams_inbound = limits.streams_inbound.0;
    limit.streams_outbound = limits.streams_outbound.0;
    limit.conns = limits.conns.0;
    limit.conns_inbound = limits.conns_inbound.0;
    limit.conns_outbound = limits.conns_outbound.0;
    Ok(limit)
}
