//! How a connection that the allowlist let in moves to the standard scopes.

use rcmgr_core::{Error, LimitExceeded, Result, ScopeClass, ScopeId};

use super::mover::LeafMover;
use crate::engine::FromPath;
use crate::path::PathKind;

/// Moves a connection that the allowlist let in to the standard scopes, because the entry is for
/// another peer.
///
/// # Errors
///
/// The refusal of the standard scopes. Then the allowlisted scopes have everything back, and the
/// connection is stranded: it is charged on those of the standard scopes that took it in, and can
/// only be closed. (go-libp2p does the same.)
pub fn leave_allowlist(mover: &mut LeafMover<'_>) -> Result<()> {
    let path = mover.path();
    let engine = path.shared_home();
    let opened = engine.opened_path();
    let standard = match path.name_of(ScopeClass::Service) {
        Some(service) => engine.service_path(FromPath::user(&opened), service),
        None => Some(opened),
    };
    mover.advance(standard).inspect_err(|why| {
        // System is checked first, so a refusal by transient means that system took the connection
        // in.
        let on_system = matches!(
            why,
            Error::LimitExceeded(LimitExceeded { scope, .. }) if *scope == ScopeId::Transient.into()
        );
        let stranded = |nodes| engine.lasting_path(PathKind::StrandedConnection, nodes);
        if !on_system
            || mover
                .advance(Some(stranded(Some(engine.system()))))
                .is_err()
        {
            // This fails only if the connection was closed meanwhile.
            let _ = mover.advance(Some(stranded(None)));
        }
    })
}
