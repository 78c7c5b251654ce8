//! The handle on the scope of a connection, which everything that serves the connection can hold.

use std::ops::Deref;
use std::sync::Arc;

use rcmgr_atomic::Connection;

/// A handle on the scope of a connection. A clone is another handle on the same scope: the scope is
/// given back when the last one is dropped.
///
/// ```
/// use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, UsesFd};
/// use rcmgr_tokio::ConnScope;
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
/// let scope = ConnScope::new(connection);
/// let of_a_request = scope.clone();
/// drop(scope);
/// assert_eq!(of_a_request.stat().conns_inbound, 1);
/// drop(of_a_request);
/// assert!(manager.stat().system.is_zero());
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
