use serde::Serialize;

/// What other limits would have made of a trace. All numbers are of requests: a request is one
/// operation, of however many scopes it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WhatIfReport {
    /// Granted then, and granted again.
    pub granted: u64,
    /// Refused then, and refused again, by whichever scope.
    pub refused: u64,
    /// Granted then, and would have been refused.
    pub would_refuse: u64,
    /// Refused then, and would have been granted.
    pub would_grant: u64,
    /// Of connections and streams that would not have been there, which would not have asked.
    pub not_asked: u64,
    /// Where: by class of scope and limit.
    pub changes: Vec<Change>,
    /// Where: the scopes with the most changes.
    pub scopes: Vec<ScopeChanges>,
}

/// How much would have been different at the scopes of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The class of scopes, as in the metric `blocked_resources`.
    pub scope: &'static str,
    /// The limit that would have refused; where it would have granted, what was asked for.
    pub resource: &'static str,
    /// Grants that it would have refused.
    pub would_refuse: u64,
    /// Refusals that it would have granted.
    pub would_grant: u64,
    /// The bytes of both, where it is memory.
    pub bytes: u64,
}

/// How much would have been different at a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScopeChanges {
    /// Its name.
    pub name: String,
    /// Grants that it would have refused.
    pub would_refuse: u64,
    /// Refusals that it would have granted.
    pub would_grant: u64,
}
