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

/// Those of `[guard]`.
pub(super) const GUARD: [&str; 6] = [
    "workers",
    "own-descriptors",
    "drain",
    "over-limit",
    "view",
    "dry-run",
];
