//! The report of a replay under other limits.

use serde::Serialize;

/// The effect of other limits on a trace. All numbers are requests; a request is one operation, on
/// any number of scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WhatIfReport {
    /// Granted in the trace and in the replay.
    pub granted: u64,
    /// Refused in the trace and in the replay, possibly by another scope.
    pub refused: u64,
    /// Granted in the trace, refused in the replay.
    pub would_refuse: u64,
    /// Refused in the trace, granted in the replay.
    pub would_grant: u64,
    /// Requests of connections and streams that would not exist.
    pub not_asked: u64,
    /// The changes by class and limit.
    pub changes: Vec<Change>,
    /// The scopes with the most changes.
    pub scopes: Vec<ScopeChanges>,
}

/// The changes at the scopes of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The class, as in the metric `blocked_resources`.
    pub scope: &'static str,
    /// The limit that would have refused, as limits files name it; for grants, the requested
    /// resource.
    pub resource: &'static str,
    /// Grants of the trace that the replay refused.
    pub would_refuse: u64,
    /// Refusals of the trace that the replay granted.
    pub would_grant: u64,
    /// The bytes of both, for memory.
    pub bytes: u64,
}

/// The changes at one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScopeChanges {
    /// The name.
    pub name: String,
    /// Grants of the trace that the replay refused.
    pub would_refuse: u64,
    /// Refusals of the trace that the replay granted.
    pub would_grant: u64,
}
