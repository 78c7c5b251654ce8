//! The refusal inside an error of libp2p.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;

use libp2p_swarm::{DialError, StreamUpgradeError};

/// The refusal of the manager that caused an error, if one did.
///
/// It looks into everything that libp2p wraps an error in: `DialError` (also with several addresses),
/// `ListenError`, `ConnectionDenied`, `TransportError`, timeouts, DNS, and `io::Error`. Of a
/// `StreamUpgradeError::Io(error)` give it the `error`: the upgrade's error type hides it in general;
/// for `Infallible` and `io::Error` the whole error will do.
///
/// If a name resolves to several addresses, libp2p-dns passes on the error of the last attempt
/// alone. A refusal of an earlier attempt is not found then.
///
/// ```
/// use std::io;
/// use rcmgr_core::{Error, ScopeId};
/// use rcmgr_libp2p::refusal;
///
/// let closed = Error::ScopeClosed { scope: ScopeId::System.into() };
/// let wrapped = io::Error::other(io::Error::from(closed.clone()));
/// assert_eq!(refusal(&wrapped), Some(&closed));
/// assert_eq!(refusal(&io::Error::other("something else")), None);
/// ```
pub fn refusal<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rcmgr_core::Error> {
    let mut error = error;
    loop {
        if let Some(found) = error.downcast_ref::<rcmgr_core::Error>() {
            return Some(found);
        }
        // Its `source` is none, because each address has an error.
        if let Some(DialError::Transport(failed)) = error.downcast_ref() {
            return failed.iter().find_map(|(_, error)| refusal(error));
        }
        error = wrapped_io(error)
            // Its `source` is that of the error that it wraps, which leaves that one out.
            .or_else(|| error.downcast_ref::<io::Error>())
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn StdError + 'static))
            .or_else(|| error.source())?;
    }
}

/// The error of a stream whose negotiation failed: `StreamUpgradeError` has no `source`.
fn wrapped_io<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    if let Some(StreamUpgradeError::Io(io)) = error.downcast_ref::<StreamUpgradeError<Infallible>>()
    {
        return Some(io);
    }
    match error.downcast_ref::<StreamUpgradeError<io::Error>>()? {
        StreamUpgradeError::Io(io) | StreamUpgradeError::Apply(io) => Some(io),
        StreamUpgradeError::Timeout | StreamUpgradeError::NegotiationFailed => None,
    }
}
