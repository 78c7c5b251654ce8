//! Which leaves a path is for.

/// Which leaves a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathKind {
    Connection,
    /// A connection that the allowlist let in: it ends at a system scope of its own.
    AllowlistedConnection,
    Stream,
    /// A connection that neither the allowlist nor the standard scopes let in, except perhaps
    /// system. It can only be closed.
    StrandedConnection,
}

impl PathKind {
    /// The number of kinds, from the first, that a peer can have a path of.
    pub const OF_PEERS: usize = Self::Stream as usize + 1;
}
