//! One line of the log: what it says.

use std::fmt;

use rcmgr_atomic::ScopeReport;
use rcmgr_core::{Direction, Limit, LimitValue, Limits, LimitsKey, Resource, ScopeClass, ScopeId};

use super::scopes::Found;
use super::tally::New;
use super::words::{addresses_key, amount, asked, classes, direction, grouped, scope_name};
use crate::label::escaped;
use crate::usage::used;

/// What is said at once.
#[derive(Debug)]
pub(super) struct Line {
    who: Who,
    asked: Resource,
    new: New,
}

/// Who refused, and why.
#[derive(Debug)]
enum Who {
    /// A scope, perhaps with others of its class.
    Scope {
        class: ScopeClass,
        scope: String,
        /// How many of the class refused and are there; the scope is one of them.
        scopes: u64,
        /// How often the scope refused.
        refused: u64,
        /// Whether others of its class refused that are not there any more.
        some_gone: bool,
        reached: Reached,
    },
    /// Scopes of which none is there any more.
    Gone(ScopeClass, Option<Key>),
    /// Each connection or stream for itself.
    Each(ScopeClass, Option<(Key, u64)>),
    Spans,
    Limiter(&'static str),
}

/// The limit that was reached.
#[derive(Debug)]
enum Reached {
    Limit {
        key: Key,
        used: u64,
        limit: u64,
    },
    /// It is not that of the configuration.
    ByHand {
        resource: Resource,
        used: u64,
        limit: u64,
    },
    /// There is none by now.
    Nothing,
}

/// A field of the configuration.
#[derive(Debug)]
struct Key {
    entry: LimitsKey,
    resource: Resource,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.resource.field_name();
        match self.entry.name() {
            None => write!(f, "{}.{field}", self.entry.scope()),
            Some(name) => write!(f, "{}.{}.{field}", self.entry.scope(), escaped(&name)),
        }
    }
}

impl Line {
    /// Of a scope that is there, and others like it.
    pub fn of_scope(found: Found, asked: Resource, new: New, limits: &Limits) -> Self {
        let Found { scopes, most, .. } = found;
        let who = Who::Scope {
            class: most.id.class(),
            scope: scope_name(&most.id),
            scopes,
            refused: found.refused_most,
            some_gone: found.refused < new.count,
            reached: reached(&most, asked, limits),
        };
        Self { who, asked, new }
    }

    /// Of scopes that are not there any more.
    pub fn of_gone(class: ScopeClass, asked: Resource, new: New, limits: &Limits) -> Self {
        let entry = default_of(class);
        let limit = entry.as_ref().and_then(|entry| limits.lookup(entry));
        // Which of two it was is not known.
        let resource = limit.and_then(|limit| {
            let mut limited = limited(asked, &limit);
            limited.next().filter(|_| limited.next().is_none())
        });
        let key = entry.zip(resource);
        let key = key.map(|(entry, (resource, _))| Key { entry, resource });
        Self {
            who: Who::Gone(class, key),
            asked,
            new,
        }
    }

    /// Of connections or streams, each of which has this limit.
    pub fn of_each(class: ScopeClass, asked: Resource, new: New, limit: Limit) -> Self {
        let entry = match class {
            ScopeClass::Connection => LimitsKey::Conn,
            _ => LimitsKey::Stream,
        };
        let lowest = limited(asked, &limit).min_by_key(|&(_, limit)| limit);
        let key = lowest.map(|(resource, limit)| (Key { entry, resource }, limit));
        Self {
            who: Who::Each(class, key),
            asked,
            new,
        }
    }

    /// Of spans, each of which has its own limit or that of its owner.
    pub const fn of_spans(asked: Resource, new: New) -> Self {
        let who = Who::Spans;
        Self { who, asked, new }
    }

    /// Of what is asked before the scopes are.
    pub const fn of_limiter(limiter: &'static str, new: New) -> Self {
        Self {
            who: Who::Limiter(limiter),
            asked: Resource::ConnsInbound,
            new,
        }
    }

    /// In seconds, rounded up: they were refused in that time.
    fn seconds(&self) -> u64 {
        let during = self.new.during;
        (during.as_secs() + u64::from(during.subsec_nanos() > 0)).max(1)
    }

    /// Hands it to `tracing`.
    pub fn say(&self) {
        let (count, seconds) = (self.new.count, self.seconds());
        if let Who::Limiter(limiter) = self.who {
            let key = addresses_key(limiter);
            tracing::warn!(limiter, count, seconds, key, "{self}");
            return;
        }
        let (class, scope, scopes) = match &self.who {
            Who::Scope {
                class,
                scope,
                scopes,
                ..
            } => (*class, Some(scope.as_str()), Some(*scopes)),
            Who::Gone(class, _) => (*class, None, Some(0)),
            Who::Each(class, _) => (*class, None, None),
            Who::Spans | Who::Limiter(_) => (ScopeClass::Span, None, None),
        };
        let (key, used, limit) = match &self.who {
            Who::Scope { reached, .. } => match reached {
                Reached::Limit { key, used, limit } => (Some(key), Some(*used), Some(*limit)),
                Reached::ByHand { used, limit, .. } => (None, Some(*used), Some(*limit)),
                Reached::Nothing => (None, None, None),
            },
            Who::Gone(_, key) => (key.as_ref(), None, None),
            Who::Each(_, Some((key, limit))) => (Some(key), None, Some(*limit)),
            Who::Each(_, None) | Who::Spans | Who::Limiter(_) => (None, None, None),
        };
        tracing::warn!(
            class = class.as_str(),
            scope,
            scopes,
            resource = self.asked.as_str(),
            direction = direction(self.asked).map(Direction::as_str),
            count,
            seconds,
            key = key.map(tracing::field::display),
            used,
            limit,
            "{self}"
        );
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = format!("in the last {} s", self.seconds());
        let count = grouped(self.new.count);
        let asked = asked(self.asked, self.new.count);
        match &self.who {
            Who::Scope {
                class,
                scope,
                scopes,
                refused,
                some_gone,
                reached,
            } => {
                let alone = *scopes == 1 && !some_gone;
                if alone {
                    write!(f, "{scope} refused {count} {asked} {when}")?;
                } else {
                    let others = if *some_gone {
                        " and some that are gone"
                    } else {
                        ""
                    };
                    let (live, of_scope) = (grouped(*scopes), grouped(*refused));
                    let class = classes(*class, *scopes);
                    write!(f, "{live} {class}{others} refused {count} {asked} {when}")?;
                    write!(f, ", {scope} {of_scope} of them")?;
                }
                let there = if alone { "" } else { " there" };
                reached.fmt(f, there)
            }
            Who::Gone(class, key) => {
                let class = classes(*class, 2);
                write!(f, "{class} that are gone refused {count} {asked} {when}")?;
                key.iter()
                    .try_for_each(|key| write!(f, "; the limit is {key}"))
            }
            Who::Each(class, key) => {
                let class = classes(*class, 1);
                write!(
                    f,
                    "the limit of each {class} refused {count} {asked} {when}"
                )?;
                key.iter().try_for_each(|(key, limit)| {
                    write!(f, ": it is {}, {key}", amount(key.resource, *limit))
                })
            }
            Who::Spans => {
                write!(f, "spans refused {count} {asked} {when}")?;
                f.write_str(": each has the limit that was set on it, and that of its owner")
            }
            Who::Limiter(limiter) => {
                let plural = if self.new.count == 1 { "" } else { "s" };
                write!(
                    f,
                    "the {limiter} limiter refused {count} connection{plural} "
                )?;
                let key = addresses_key(limiter);
                write!(f, "by address {when}; the limits are {key}")
            }
        }
    }
}

impl Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>, there: &str) -> fmt::Result {
        let (resource, used, limit) = match self {
            Self::Limit { key, used, limit } => (key.resource, *used, *limit),
            Self::ByHand {
                resource,
                used,
                limit,
            } => (*resource, *used, *limit),
            Self::Nothing => return f.write_str("; it has no such limit any more"),
        };
        let [used_text, limit_text] = [used, limit].map(|value| amount(resource, value));
        write!(f, ": {used_text} of {limit_text} in use{there} now")?;
        if matches!(resource, Resource::Streams | Resource::Conns) {
            f.write_str(", both directions together")?;
        }
        match self {
            Self::Limit { key, .. } => write!(f, "; the limit is {key}")?,
            _ => f.write_str("; the limit was set on it by hand")?,
        }
        if resource == Resource::Memory {
            f.write_str("; low priority may use 40 % of it, medium 60 %, high 80 %")?;
        }
        Ok(())
    }
}

/// The limit that a scope reached when it refused this. What it uses may be less by now: then it is
/// the fullest of those that were asked.
fn reached(report: &ScopeReport, asked: Resource, limits: &Limits) -> Reached {
    let used = |resource| used(&report.stat, resource);
    let part = |&(resource, limit): &(_, u64)| used(resource) as f64 / limit.max(1) as f64;
    let full = limited(asked, &report.limit).find(|limit| part(limit) >= 1.0);
    let fullest = || {
        let limited = limited(asked, &report.limit);
        limited.max_by(|a, b| part(a).total_cmp(&part(b)))
    };
    let Some((resource, limit)) = full.or_else(fullest) else {
        return Reached::Nothing;
    };
    let used = used(resource);
    let entry = entry_of(&report.id, limits);
    let configured = entry.as_ref().and_then(|entry| limits.lookup(entry));
    let is_configured = |limit: Limit| limit.get(resource) == report.limit.get(resource);
    match entry {
        Some(entry) if configured.is_some_and(is_configured) => Reached::Limit {
            key: Key { entry, resource },
            used,
            limit,
        },
        _ => Reached::ByHand {
            resource,
            used,
            limit,
        },
    }
}

/// The limits that are asked, in that order, and are numbers.
fn limited(asked: Resource, limit: &Limit) -> impl Iterator<Item = (Resource, u64)> + use<> {
    let total = match asked {
        Resource::StreamsInbound | Resource::StreamsOutbound => Some(Resource::Streams),
        Resource::ConnsInbound | Resource::ConnsOutbound => Some(Resource::Conns),
        _ => None,
    };
    let limit = *limit;
    let number = move |resource| match limit.get(resource) {
        LimitValue::Limited(most) => Some((resource, most)),
        LimitValue::Unlimited => None,
    };
    [Some(asked), total]
        .into_iter()
        .flatten()
        .filter_map(number)
}

/// The entry that counts for a scope: its own if there is one, else the default of its class.
fn entry_of(id: &ScopeId, limits: &Limits) -> Option<LimitsKey> {
    let own = match id {
        ScopeId::Service(name) if limits.service.contains_key(&**name) => {
            LimitsKey::Service(name.to_string())
        }
        ScopeId::ServicePeer(name, _) if limits.service_peer.contains_key(&**name) => {
            LimitsKey::ServicePeer(name.to_string())
        }
        ScopeId::Protocol(name) if limits.protocol.contains_key(&**name) => {
            LimitsKey::Protocol(name.to_string())
        }
        ScopeId::ProtocolPeer(name, _) if limits.protocol_peer.contains_key(&**name) => {
            LimitsKey::ProtocolPeer(name.to_string())
        }
        ScopeId::Peer(peer) if limits.peer.contains_key(peer) => LimitsKey::Peer(*peer),
        _ => return default_of(id.class()),
    };
    Some(own)
}

const fn default_of(class: ScopeClass) -> Option<LimitsKey> {
    Some(match class {
        ScopeClass::System => LimitsKey::System,
        ScopeClass::Transient => LimitsKey::Transient,
        ScopeClass::AllowlistedSystem => LimitsKey::AllowlistedSystem,
        ScopeClass::AllowlistedTransient => LimitsKey::AllowlistedTransient,
        ScopeClass::Service => LimitsKey::ServiceDefault,
        ScopeClass::ServicePeer => LimitsKey::ServicePeerDefault,
        ScopeClass::Protocol => LimitsKey::ProtocolDefault,
        ScopeClass::ProtocolPeer => LimitsKey::ProtocolPeerDefault,
        ScopeClass::Peer => LimitsKey::PeerDefault,
        ScopeClass::Connection => LimitsKey::Conn,
        ScopeClass::Stream => LimitsKey::Stream,
        ScopeClass::Span => return None,
    })
}
