//! The keys of the tables of the proxy.

/// Those of `[[listen]]`.
pub(super) const LISTEN: [&str; 8] = [
    "on",
    "to",
    "service",
    "proxy-protocol",
    "queue",
    "timeouts",
    "on-refusal",
    "splice",
];

/// Those of `timeouts`.
pub(super) const TIMEOUTS: [&str; 6] = [
    "connect",
    "header",
    "first-byte",
    "idle",
    "half-closed",
    "near-limit",
];

/// Those of `near-limit`.
pub(super) const NEAR_LIMIT: [&str; 4] = ["from", "first-byte", "idle", "half-closed"];

/// The timeouts of running sessions, which `near-limit` has too.
pub(super) const OF_SESSIONS: [&str; 3] = ["first-byte", "idle", "half-closed"];

/// Those of `[guard]`.
pub(super) const GUARD: [&str; 6] = [
    "workers",
    "own-descriptors",
    "drain",
    "over-limit",
    "view",
    "dry-run",
];
