//! One line of the log, as text and as fields.

use std::fmt;
use std::sync::Arc;

use rcmgr_atomic::address::ipnet::IpNet;
use rcmgr_core::{Direction, Limit, Limits, LimitsKey, Resource, ScopeClass};

use super::limit;
use super::mode::Mode;
use super::queued::Queued;
use super::scopes::{Found, Refuser};
use super::tally::New;
use super::words::{amount, asked, classes, direction, grouped, scope_name};
use crate::reached::{Reached, Setting, default_of, limited, reached, reached_before};

/// A line of the log.
#[derive(Debug)]
pub(super) struct Line {
    mode: Mode,
    source: Source,
    asked: Resource,
    new: New,
    /// The requests that wait for room where these were refused.
    waiting: Option<Queued>,
}

/// The scopes or the limiter that refused, and the reason.
#[derive(Debug)]
enum Source {
    /// A scope, and possibly others of its class.
    Scope {
        class: ScopeClass,
        scope: String,
        /// The number of scopes of the class that are known to have refused, including this one.
        scopes: u64,
        /// The number of refusals by this scope.
        refused: u64,
        /// Whether scopes that no longer exist, and whose names are not known, refused, too.
        some_destroyed: bool,
        /// `None` if the limit has been removed since.
        reached: Option<Reached>,
    },
    /// Scopes that no longer exist, and whose names are not known.
    Destroyed(ScopeClass, Option<Setting>),
    /// Connections or streams, by their own limit.
    Each(ScopeClass, Option<(Setting, u64)>),
    Spans,
    /// A limiter of addresses, where its limits are, and the network that it refused most often.
    Limiter(&'static str, &'static str, Option<(IpNet, u64)>),
}

impl Line {
    /// A line about a scope, and others of its class.
    pub fn of_scope(
        mode: Mode,
        found: Found,
        asked: Resource,
        new: New,
        enforced: &Arc<Limits>,
    ) -> Self {
        let Found { scopes, most, .. } = found;
        let limits = mode.limits(enforced);
        let reached = match &most {
            Refuser::Live(report) => reached(&mode.with_limit(report, enforced), asked, &limits),
            Refuser::Destroyed(id) => reached_before(id, asked, &limits),
        };
        let source = Source::Scope {
            class: most.id().class(),
            scope: scope_name(most.id()),
            scopes,
            refused: found.refused_most,
            some_destroyed: found.refused < new.count,
            reached,
        };
        Self {
            mode,
            source,
            asked,
            new,
            waiting: None,
        }
    }

    /// A line about scopes that no longer exist.
    pub fn of_destroyed(
        mode: Mode,
        class: ScopeClass,
        asked: Resource,
        new: New,
        limits: &Limits,
    ) -> Self {
        let entry = default_of(class);
        let limit = entry.as_ref().and_then(|entry| limits.lookup(entry));
        // If two limits apply, it is unknown which one refused.
        let resource = limit.and_then(|limit| {
            let mut limited = limited(asked, &limit);
            limited.next().filter(|_| limited.next().is_none())
        });
        let key = entry.zip(resource);
        let key = key.map(|(entry, (resource, _))| Setting { entry, resource });
        Self {
            mode,
            source: Source::Destroyed(class, key),
            asked,
            new,
            waiting: None,
        }
    }

    /// A line about connections or streams, which all have this limit.
    pub fn of_each(mode: Mode, class: ScopeClass, asked: Resource, new: New, limit: Limit) -> Self {
        let entry = match class {
            ScopeClass::Connection => LimitsKey::Conn,
            _ => LimitsKey::Stream,
        };
        let lowest = limited(asked, &limit).min_by_key(|&(_, limit)| limit);
        let key = lowest.map(|(resource, limit)| (Setting { entry, resource }, limit));
        Self {
            mode,
            source: Source::Each(class, key),
            asked,
            new,
            waiting: None,
        }
    }

    /// A line about spans.
    pub const fn of_spans(mode: Mode, asked: Resource, new: New) -> Self {
        let source = Source::Spans;
        Self {
            mode,
            source,
            asked,
            new,
            waiting: None,
        }
    }

    /// A line about an address limiter with its limits in `key`, and the network that it refused
    /// most often.
    pub const fn of_limiter(
        mode: Mode,
        limiter: &'static str,
        key: &'static str,
        new: New,
        most: Option<(IpNet, u64)>,
    ) -> Self {
        Self {
            mode,
            source: Source::Limiter(limiter, key, most),
            asked: Resource::ConnsInbound,
            new,
            waiting: None,
        }
    }

    /// With the requests that wait for room there.
    pub fn with_waiting(self, waiting: Queued) -> Self {
        Self {
            waiting: Some(waiting).filter(|queued| queued.requests > 0),
            ..self
        }
    }

    /// The time of the refusals in seconds, rounded up.
    fn seconds(&self) -> u64 {
        let during = self.new.during;
        (during.as_secs() + u64::from(during.subsec_nanos() > 0)).max(1)
    }

    /// Writes the line to `tracing`.
    pub fn log(&self) {
        let (count, seconds) = (self.new.count, self.seconds());
        let dry_run = (self.mode == Mode::DryRun).then_some(true);
        if let Source::Limiter(limiter, key, most) = self.source {
            let network = most.map(|(network, _)| tracing::field::display(network));
            tracing::warn!(limiter, count, seconds, network, key, dry_run, "{self}");
            return;
        }
        // The fields of the source,
        let (class, scope, scopes) = match &self.source {
            Source::Scope {
                class,
                scope,
                scopes,
                ..
            } => (*class, Some(scope.as_str()), Some(*scopes)),
            Source::Destroyed(class, _) => (*class, None, Some(0)),
            Source::Each(class, _) => (*class, None, None),
            Source::Spans | Source::Limiter(..) => (ScopeClass::Span, None, None),
        };
        // and those of the limit.
        let (key, used, limit) = match &self.source {
            Source::Scope {
                reached: Some(reached),
                ..
            } => (reached.setting(), reached.used, Some(reached.limit)),
            Source::Destroyed(_, key) => (key.clone(), None, None),
            Source::Each(_, Some((key, limit))) => (Some(key.clone()), None, Some(*limit)),
            _ => (None, None, None),
        };
        tracing::warn!(
            class = class.as_str(),
            scope,
            scopes,
            resource = self.asked.as_str(),
            direction = direction(self.asked).map(Direction::as_str),
            count,
            seconds,
            key = key.as_ref().map(tracing::field::display),
            used,
            limit,
            waiting = self.waiting.map(|queued| queued.requests),
            dry_run,
            "{self}"
        );
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_refusals(f)?;
        let mut waiting = self.waiting.iter();
        waiting.try_for_each(|queued| queued.fmt(f))
    }
}

impl Line {
    /// Writes what was refused, and the limit.
    fn write_refusals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = format!("in the last {} s", self.seconds());
        let count = grouped(self.new.count);
        let asked = asked(self.asked, self.new.count);
        let [begin, refused_word] = self.mode.words();
        f.write_str(begin)?;
        match &self.source {
            Source::Scope {
                class,
                scope,
                scopes,
                refused,
                some_destroyed,
                reached,
            } => {
                let alone = *scopes == 1 && !some_destroyed;
                if alone {
                    write!(f, "{scope} {refused_word} {count} {asked} {when}")?;
                } else {
                    let others = if *some_destroyed {
                        " and others that no longer exist"
                    } else {
                        ""
                    };
                    let (live, of_scope) = (grouped(*scopes), grouped(*refused));
                    let class = classes(*class, *scopes);
                    write!(
                        f,
                        "{live} {class}{others} {refused_word} {count} {asked} {when}"
                    )?;
                    write!(f, ", {of_scope} of them by {scope}")?;
                }
                let there = if alone { "" } else { " there" };
                limit::write(reached.as_ref(), there, f)
            }
            Source::Destroyed(class, key) => {
                let class = classes(*class, 2);
                write!(
                    f,
                    "{class} that no longer exist {refused_word} {count} {asked} {when}"
                )?;
                key.iter()
                    .try_for_each(|key| write!(f, "; the limit is {key}"))
            }
            Source::Each(class, key) => {
                let class = classes(*class, 1);
                write!(
                    f,
                    "the limit of each {class} {refused_word} {count} {asked} {when}"
                )?;
                let Some((key, limit)) = key else {
                    return Ok(());
                };
                write!(f, ": it is {} ({key})", amount(key.resource, *limit))?;
                match key.resource {
                    Resource::Memory => f.write_str(limit::PRIORITIES),
                    _ => Ok(()),
                }
            }
            Source::Spans => {
                write!(f, "spans {refused_word} {count} {asked} {when}")?;
                f.write_str(": the limit is an override of the span, or that of its owner")
            }
            Source::Limiter(limiter, key, most) => {
                let plural = if self.new.count == 1 { "" } else { "s" };
                write!(
                    f,
                    "the {limiter} limiter {refused_word} {count} connection{plural} "
                )?;
                write!(f, "by address {when}")?;
                if let Some((network, refused)) = most {
                    write!(f, ", {} of them from {network}", grouped(*refused))?;
                }
                write!(f, "; the limits are {key}")
            }
        }
    }
}
