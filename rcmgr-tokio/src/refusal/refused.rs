//! The socket of a refused connection, until it is closed.

use rcmgr_atomic::Connection;

use crate::descriptors::WakeAcceptors;

/// The socket of a refused connection. When it is dropped, the socket is closed before its connection
/// is given back.
#[derive(Debug)]
pub(crate) struct Refused<S> {
    // The order matters: fields are dropped from the first to the last.
    pub(crate) io: S,
    _wake: WakeAcceptors,
    /// Counted in the manager, if it was the service that refused.
    _connection: Option<Connection>,
}

impl<S> Refused<S> {
    pub(crate) fn new(io: S, connection: Option<Connection>) -> Self {
        Self {
            io,
            _wake: WakeAcceptors,
            _connection: connection,
        }
    }
}
