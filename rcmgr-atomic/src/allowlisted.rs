//! How a connection that the allowlist let in leaves it again.

use rcmgr_core::{Error, LimitExceeded, Result, ScopeClass, ScopeId};

use crate::leaf::LeafMover;
use crate::path::PathKind;

/// Moves a connection that the allowlist let in, and that is not of the peer whom that was for, to
/// the standard scopes.
///
/// # Errors
///
/// If they refuse, with their error. The allowlisted scopes have all back then, and the connection
/// is stranded: charged on those of the standard scopes that took it in, and good only to be closed.
/// (So it is in go-libp2p.)
pub fn leave_allowlist(mover: &mut LeafMover<'_>) -> Result<()> {
    let path = mover.path();
    let engine = path.engine();
    let opened = engine.opened_path();
    let standard = match path.name_of(ScopeClass::Service) {
        Some(service) => engine.service_path(&opened, service),
        None => Some(opened),
    };
    mover.advance(standard).inspect_err(|why| {
        // System is asked first.
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
            // It fails only if the connection was closed meanwhile.
            let _ = mover.advance(Some(stranded(None)));
        }
    })
}
