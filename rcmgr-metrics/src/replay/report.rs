//! The report of a replay, as plain data.

use rcmgr_core::{Limit, LimitValue, Resource};
use serde::{Serialize, Serializer};

use super::addresses::SubnetNeed;
use super::over_time::OverTime;
use super::tally::{Peak, Refused};
use super::what_if::WhatIfReport;
use crate::trace::Notes;

/// The report of a replay. The names of the fields are also those of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The number of events, and oddities of the files.
    pub read: Notes,
    /// The time of the earliest event, in RFC 3339; `None` if there are no events.
    pub from: Option<String>,
    /// The time of the latest event.
    pub to: Option<String>,
    /// The time between them, in nanoseconds.
    pub nanos: u64,
    /// The number of times that a manager was created again. All scopes of the previous one were
    /// then destroyed.
    pub restarts: u64,
    /// The usage of the system scope at the end: streams in and out, connections in and out, file
    /// descriptors, bytes of memory.
    pub system: [u64; 6],
    /// The usage of the transient scope at the end, in the same order.
    pub transient: [u64; 6],
    /// The refusals, with the labels of the metric `libp2p_rcmgr_blocked_resources`.
    pub blocked_resources: Vec<Blocked>,
    /// The classes that have scopes.
    pub classes: Vec<Class>,
    /// The needs of subnets, if peers have IP addresses as ids.
    pub subnets: Vec<SubnetNeed>,
    /// The most notable scopes: system and transient first, then by the number of refusals, then by
    /// the number of events.
    pub scopes: Vec<Scope>,
    /// Usage and refusals of these scopes over time.
    pub over_time: Vec<OverTime>,
    /// The effect of other limits, if some were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what_if: Option<WhatIfReport>,
}

/// The refusals of one resource by one class of scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// `inbound` or `outbound`; empty for memory and file descriptors.
    pub dir: &'static str,
    /// The class. A peer's share of a service or protocol counts in that service or protocol, and a
    /// span in its owner.
    pub scope: &'static str,
    /// `connection`, `stream`, `memory` or `fd`. A refused connection with a file descriptor counts
    /// under both, whichever limit was reached.
    pub resource: &'static str,
    /// The number of refused requests, as in the metric of a live manager.
    pub value: u64,
    /// For memory, the requested bytes. (The metric of go-libp2p counts these.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// All scopes of a class. Spans count in the class of their owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Class {
    /// The name in traces; `unknown` for scopes with an unknown name.
    pub class: &'static str,
    /// The number of scopes that were created.
    pub created: u64,
    /// The number of scopes at the end.
    pub live: u64,
    /// The highest usage of any of the scopes.
    pub peak: Peak,
    /// The highest limits that any of the scopes needs to grant all its requests: see
    /// [`Report::suggest`](Report::suggest).
    pub needed: Peak,
    /// The refusals of all scopes.
    pub refused: Refused,
}

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// The name.
    pub name: String,
    /// The number of its events.
    pub events: u64,
    /// The usage at the end, in the order of [`Report::system`]; `None` if it did not exist at the
    /// end.
    pub usage: Option<[u64; 6]>,
    /// The highest usage.
    pub peak: Peak,
    /// Its limit when it was created, if the trace has it.
    #[serde(serialize_with = "limited")]
    pub limit: Option<Limit>,
    /// The refusals.
    pub refused: Refused,
}

/// Writes the fields of a limit that are not unlimited, with their names in limits files.
fn limited<S: Serializer>(limit: &Option<Limit>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(limit) = limit else {
        return serializer.serialize_none();
    };
    serializer.collect_map(Resource::ALL.into_iter().filter_map(
        |resource| match limit.get(resource) {
            LimitValue::Limited(limit) => Some((resource.field_name(), limit)),
            LimitValue::Unlimited => None,
        },
    ))
}
