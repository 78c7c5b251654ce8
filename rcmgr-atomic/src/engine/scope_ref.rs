//! Scopes as a recorder sees them.

use std::sync::Arc;

use rcmgr_core::ScopeId;

use crate::node::Node;

/// A scope that connections and streams are charged on.
#[derive(Debug, Clone, Copy)]
pub struct ScopeRef<'a>(pub(super) &'a Arc<Node>);

/// A scope that a recorder remembers. The scope may be collected meanwhile.
#[derive(Debug)]
pub struct KnownScope(pub(super) Arc<Node>);

impl ScopeRef<'_> {
    /// Which scope it is.
    pub fn id(&self) -> &ScopeId {
        self.0.id()
    }

    /// A number that no other scope has, not even one that had the same name before. It is unique
    /// while a [`KnownScope`] of the scope exists.
    pub fn key(&self) -> usize {
        Arc::as_ptr(self.0).addr()
    }

    /// The scope, for a recorder that remembers it.
    pub fn known(&self) -> KnownScope {
        KnownScope(self.0.clone())
    }
}

impl KnownScope {
    /// Which scope it is.
    pub fn id(&self) -> &ScopeId {
        self.0.id()
    }

    /// The charges less the releases in records that were [missed](super::Record::miss) since this
    /// was last called: streams in, streams out, connections in, connections out, file descriptors,
    /// bytes of memory.
    pub fn take_missed(&self) -> [i64; 6] {
        let missed = self.0.missed().get();
        missed.map_or([0; 6], |missed| missed.take())
    }

    /// Whether it was collected and no further record will say so: because the record was missed,
    /// or because [`set_collected`](Self::set_collected) was called.
    pub fn is_collected(&self) -> bool {
        let missed = self.0.missed().get();
        missed.is_some_and(|missed| missed.is_collected())
    }

    /// Notes that the record of its collection has come.
    pub fn set_collected(&self) {
        self.0.missed().get_or_new().set_collected();
    }
}
