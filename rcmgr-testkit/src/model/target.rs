//! A scope of the model.

use rcmgr_core::ScopeId;

/// The scope of an [`On`](crate::On), found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Scope(ScopeId),
    /// An index of `holders`.
    Holder(usize),
}
