//! The holders of a leaf: its handle, and its spans.

use std::ops::Deref;

use rcmgr_core::Endpoint;

use super::state::Leaf;
use crate::engine::DryRunPermit;
use crate::lifetime::Shared;
use crate::limits::BarePermit;

/// The leaf of a connection, with its permit or address. All of it lies in one allocation, so that
/// the handle is one word: returning a larger handle takes longer than several atomic steps.
pub struct ConnectionLeaf {
    pub leaf: Leaf,
    /// Its permit in the subnet of its address.
    pub permit: BarePermit,
    /// What few connections have.
    pub more: Option<Box<More>>,
}

/// What few connections have.
pub struct More {
    /// The remote endpoint of a connection that the allowlist let in.
    pub allowlisted: Option<Endpoint>,
    /// Its permit by the limits by address of a dry run. Dropping it gives it back.
    pub dry_run_permit: Option<DryRunPermit>,
}

/// A leaf that a handle and spans share.
pub enum SharedLeaf {
    Connection(Shared<ConnectionLeaf>),
    Stream(Shared<Leaf>),
}

impl Deref for ConnectionLeaf {
    type Target = Leaf;

    #[inline]
    fn deref(&self) -> &Leaf {
        &self.leaf
    }
}

impl Deref for SharedLeaf {
    type Target = Leaf;

    #[inline]
    fn deref(&self) -> &Leaf {
        match self {
            Self::Connection(connection) => &connection.leaf,
            Self::Stream(stream) => stream,
        }
    }
}

impl From<Shared<ConnectionLeaf>> for SharedLeaf {
    fn from(connection: Shared<ConnectionLeaf>) -> Self {
        Self::Connection(connection)
    }
}

impl From<Shared<Leaf>> for SharedLeaf {
    fn from(stream: Shared<Leaf>) -> Self {
        Self::Stream(stream)
    }
}
