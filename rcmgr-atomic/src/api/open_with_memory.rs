//! Connections that hold memory from the start.

use rcmgr_core::{Amount, Direction, Endpoint, Error, Priority, Result, UsesFd};

use super::connection::Connection;
use super::manager::Manager;
use crate::counters::Slot;
use crate::leaf::charge_new;

impl Manager {
    /// Opens a connection and reserves memory on it, both or neither.
    ///
    /// It differs from two calls where an allowlist has the endpoint: if the standard scopes have room
    /// for the connection but not for its memory, the allowlisted scopes are asked for both.
    ///
    /// ```
    /// use rcmgr_atomic::address::AddressConfig;
    /// use rcmgr_atomic::{Direction, KIB, Limits, Manager, Priority, UsesFd};
    ///
    /// let mut limits = Limits::unlimited();
    /// limits.system.memory = (100 * KIB).into();
    /// let addresses = AddressConfig {
    ///     allowlist: vec!["/ip4/192.0.2.0/ipcidr/24".parse()?],
    ///     ..AddressConfig::none()
    /// };
    /// let manager = Manager::builder().limits(limits).addresses(addresses).build()?;
    ///
    /// let open = |from: &str| {
    ///     let ip: std::net::IpAddr = from.parse().unwrap();
    ///     let memory = 64 * KIB;
    ///     manager.open_connection_with_memory(
    ///         Direction::Inbound, UsesFd::Yes, ip, memory, Priority::Always,
    ///     )
    /// };
    /// let _stranger = open("198.51.100.1")?;
    /// assert!(open("198.51.100.2").is_err());
    /// let _trusted = open("192.0.2.7")?;
    /// assert_eq!(manager.stat().allowlisted_system.memory, 64 * KIB);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`open_connection`](Self::open_connection) and
    /// [`reserve_memory`](Connection::reserve_memory). Then nothing is charged.
    pub fn open_connection_with_memory(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: impl Into<Endpoint>,
        memory: impl Amount,
        priority: Priority,
    ) -> Result<Connection> {
        let (endpoint, memory) = (endpoint.into(), memory.bytes());
        let connection = self.open_connection(direction, uses_fd, endpoint)?;
        if memory == 0 {
            return Ok(connection);
        }
        let Err(refused) = connection.reserve_memory(memory, priority) else {
            return Ok(connection);
        };
        if connection.is_allowlisted() || matches!(refused, Error::ScopeClosed { .. }) {
            return Err(refused);
        }
        // The standard scopes refused: they get everything back, and its subnet the permit.
        drop(connection);
        let path = self.allowlisted_path(endpoint).ok_or(refused)?;
        let slot = Slot::Connection(direction, uses_fd);
        charge_new(path, slot)?;
        let connection = self.allowlisted(endpoint, slot, path);
        connection.reserve_memory(memory, priority)?;
        Ok(connection)
    }
}
