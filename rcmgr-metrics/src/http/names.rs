//! The names of scopes as the view shows them.

use rcmgr_core::ScopeId;

use crate::label::LONGEST;

/// The name as it is shown. Only the part that a remote chose is cut, not the part after it, so
/// that no scope is shown with the name of its parent.
pub(super) fn name(id: &ScopeId) -> String {
    format!("{id:.LONGEST$}")
}

/// The scope under which it is shown.
pub(super) fn parent(id: &ScopeId) -> Option<ScopeId> {
    Some(match id {
        ScopeId::System | ScopeId::AllowlistedSystem => return None,
        ScopeId::AllowlistedTransient => ScopeId::AllowlistedSystem,
        ScopeId::ServicePeer(name, _) => ScopeId::Service(name.clone()),
        ScopeId::ProtocolPeer(id, _) => ScopeId::Protocol(id.clone()),
        _ => ScopeId::System,
    })
}

/// The peer that a scope is a share of.
pub(super) fn peer(id: &ScopeId) -> Option<ScopeId> {
    match id {
        ScopeId::ServicePeer(_, peer) | ScopeId::ProtocolPeer(_, peer) => {
            Some(ScopeId::Peer(*peer))
        }
        _ => None,
    }
}
