//! What a replay says.

use serde::Serialize;

use super::over_time::OverTime;
use super::tally::{Peak, Refused};
use super::what_if::WhatIfReport;
use crate::trace::Notes;

/// What a trace says. As JSON its fields are called as they are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many events there were, and what was odd about the files.
    pub read: Notes,
    /// The time of the earliest event, in RFC 3339; nothing if there are no events.
    pub from: Option<String>,
    /// The time of the latest event.
    pub to: Option<String>,
    /// The time between these, in nanoseconds.
    pub nanos: u64,
    /// How often a manager was made anew: all scopes before that were gone with the one before.
    pub restarts: u64,
    /// What the system scope used at the end: streams in and out, connections in and out, file
    /// descriptors, bytes of memory.
    pub system: [u64; 6],
    /// What the transient scope used at the end, likewise.
    pub transient: [u64; 6],
    /// What was refused, as the metric `libp2p_rcmgr_blocked_resources` has it.
    pub blocked_resources: Vec<Blocked>,
    /// Each class of scopes that there were.
    pub classes: Vec<Class>,
    /// Some scopes: system and transient first, then those that refused most, and of those that
    /// refused as much, the ones with the most events.
    pub scopes: Vec<Scope>,
    /// How these scopes' usage and refusals went on.
    pub over_time: Vec<OverTime>,
    /// What other limits would have made of it, if some were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what_if: Option<WhatIfReport>,
}

/// How much was refused, of one resource at one class of scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// `inbound` or `outbound`; empty of memory and file descriptors.
    pub dir: &'static str,
    /// The class of scopes, where what a peer uses of a service or protocol counts in that, and a
    /// span in its owner.
    pub scope: &'static str,
    /// `connection`, `stream`, `memory` or `fd`. A refused connection with a file descriptor counts
    /// under both, whichever was missing.
    pub resource: &'static str,
    /// How many, or of memory how many bytes.
    pub value: u64,
}

/// All scopes of a class; spans count in their owner's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Class {
    /// Its name in traces; `unknown` for scopes whose names are not known.
    pub class: &'static str,
    /// How many of these scopes were made.
    pub created: u64,
    /// How many of them there were at the end.
    pub live: u64,
    /// The most that one of them used.
    pub peak: Peak,
    /// What the limits of one of them would have to be for all that was asked of it: see
    /// [`Report::suggest`].
    pub needed: Peak,
    /// What they refused, all together.
    pub refused: Refused,
}

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// How many events there were about it.
    pub events: u64,
    /// What it used at the end, in the order of [`Report::system`]; nothing if it was gone.
    pub usage: Option<[u64; 6]>,
    /// The most that it used.
    pub peak: Peak,
    /// What it refused.
    pub refused: Refused,
}
