//! The handle on the scope of a connection. The stream, its buffers and its requests hold it.

use std::ops::Deref;
use std::sync::Arc;

use rcmgr_atomic::Connection;

/// A handle on the scope of a connection. It dereferences to the [`Connection`].
///
/// A clone is another handle on the same scope, and costs a reference count. The stream of the
/// connection has one, and each [`Buffer`](crate::Buffer) of it, and requests may keep one. The scope
/// is given back when the last one is dropped. So a clone that outlives the stream keeps the
/// connection counted, with its file descriptor, although its socket is closed: drop it with the work
/// that it is for. [`done`](Connection::done) gives the scope back earlier.
///
/// A [`Span`](rcmgr_atomic::Span) of the scope is owned, and can be kept anywhere. It does
/// not keep the connection counted: when the last handle is dropped, its memory is given back, too.
///
/// ```
/// use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, Priority, UsesFd};
/// use rcmgr_tokio::ConnScope;
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
/// let scope = ConnScope::new(connection);
/// let of_a_request = scope.clone();
/// let span = of_a_request.begin_span()?;
/// span.reserve_memory(4096, Priority::Medium)?;
///
/// drop(scope);
/// assert_eq!(manager.stat().system.conns_inbound, 1);
/// drop(of_a_request);
/// assert!(manager.stat().system.is_zero());
/// span.reserve_memory(4096, Priority::Medium).unwrap_err();
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConnScope(Arc<Connection>);

impl ConnScope {
    /// A handle on the scope of a connection.
    pub fn new(connection: Connection) -> Self {
        Self(Arc::new(connection))
    }
}

impl Deref for ConnScope {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl From<Connection> for ConnScope {
    fn from(connection: Connection) -> Self {
        Self::new(connection)
    }
}
