//! What the live view tells: a page of scopes.

use rcmgr_atomic::{Limit, LimitValue, Resource, ScopeStat};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::text::escaped;

/// An answer of the view.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// How many scopes there are.
    pub total: u64,
    /// How many of them were searched for.
    pub matched: u64,
    /// How many of these come before the page.
    pub offset: u64,
    /// Told whatever was searched.
    pub system: Option<Scope>,
    pub transient: Option<Scope>,
    /// Those of the page, in the order that was asked for.
    pub scopes: Vec<Scope>,
}

/// A scope as it is now.
#[derive(Debug, Clone, Deserialize)]
pub struct Scope {
    /// Escaped: see [`escaped`].
    #[serde(deserialize_with = "name")]
    pub name: String,
    #[serde(deserialize_with = "counters")]
    pub used: ScopeStat,
    #[serde(deserialize_with = "counters")]
    pub peak: ScopeStat,
    #[serde(deserialize_with = "limit")]
    pub limit: Limit,
    /// How often each was refused.
    #[serde(deserialize_with = "counters")]
    pub refusals: ScopeStat,
}

impl Scope {
    /// How much of a resource is used.
    pub const fn used(&self, resource: Resource) -> u64 {
        of(&self.used, resource)
    }

    /// The part of a limit that is used; `None` where there is none. A limit of zero counts as one.
    pub fn part(&self, resource: Resource) -> Option<f64> {
        match self.limit.get(resource) {
            LimitValue::Limited(most) => Some(self.used(resource) as f64 / most.max(1) as f64),
            LimitValue::Unlimited => None,
        }
    }

    /// Of some limits the one of which most is used, and how much of it; the first of equals.
    pub fn fullest(&self, of: &[Resource]) -> Option<(Resource, f64)> {
        let parts = of.iter().filter_map(|&one| Some((one, self.part(one)?)));
        parts.reduce(|fullest, next| if next.1 > fullest.1 { next } else { fullest })
    }

    /// The most that was ever used at once; of both directions together that is not known.
    pub const fn peak(&self, resource: Resource) -> Option<u64> {
        match resource {
            Resource::Streams | Resource::Conns => None,
            _ => Some(of(&self.peak, resource)),
        }
    }

    /// How often a resource was refused; of both directions together that is not told.
    pub const fn refused(&self, resource: Resource) -> Option<u64> {
        match resource {
            Resource::Streams | Resource::Conns => None,
            _ => Some(of(&self.refusals, resource)),
        }
    }

    /// How often anything was refused.
    pub fn all_refused(&self) -> u64 {
        let counts = Resource::ALL.iter().filter_map(|&one| self.refused(one));
        counts.fold(0, u64::saturating_add)
    }
}

const fn of(stat: &ScopeStat, resource: Resource) -> u64 {
    match resource {
        Resource::Memory => stat.memory,
        Resource::Fd => stat.fd,
        // What comes from elsewhere may be whatever number.
        Resource::Streams => stat.streams_inbound.saturating_add(stat.streams_outbound),
        Resource::StreamsInbound => stat.streams_inbound,
        Resource::StreamsOutbound => stat.streams_outbound,
        Resource::Conns => stat.conns_inbound.saturating_add(stat.conns_outbound),
        Resource::ConnsInbound => stat.conns_inbound,
        Resource::ConnsOutbound => stat.conns_outbound,
    }
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(|name| escaped(&name))
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
            Ok(Value::Number(most)) => Ok(Self(LimitValue::Limited(most))),
            Ok(Value::Word(word)) if word == "unlimited" => Ok(Self(LimitValue::Unlimited)),
            _ => Err(D::Error::custom(
                "a limit is a whole number or \"unlimited\"",
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
