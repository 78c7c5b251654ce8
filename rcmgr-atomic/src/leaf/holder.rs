//! As what a leaf is held: by its handle, and by its spans.

use std::net::IpAddr;
use std::ops::Deref;

use super::Leaf;
use crate::addresses::BarePermit;
use crate::shared::Shared;

/// A connection's leaf, with what is known of where it comes from. All of it lies in one place, so that
/// its handle is one word: a larger one takes longer to hand out than some atomic steps.
pub struct ConnectionLeaf {
    pub leaf: Leaf,
    /// Its permit in its subnet.
    pub permit: BarePermit,
    /// The remote address of a connection that the allowlist let in: one of few, so it is elsewhere.
    pub allowlisted: Option<Box<IpAddr>>,
}

/// A leaf that a handle and spans have in common.
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
