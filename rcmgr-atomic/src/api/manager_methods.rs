//! The methods of [`ResourceManager`] as methods of [`Manager`], and the wait for the end.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rcmgr_core::{
    Direction, Endpoint, Limits, ManagerStat, PeerId, ResourceManager, Result, UsesFd,
};

use super::connection::Connection;
use super::manager::Manager;
use super::scope::Scope;
use super::service::Service;
use super::stream::Stream;

/// The pauses between two looks at the usage, while [`Manager::wait_until_released`] waits.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

impl Manager {
    /// Opens a connection. Its remote endpoint may be a socket address, an IP address, or
    /// [`Endpoint::None`].
    ///
    /// ```
    /// use rcmgr_atomic::{Direction, Limits, Manager, UsesFd};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let remote: std::net::SocketAddr = "192.0.2.7:4001".parse()?;
    /// let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, remote)?;
    /// assert_eq!(connection.stat().fd, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ResourceManager::open_connection`].
    #[inline]
    pub fn open_connection(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: impl Into<Endpoint>,
    ) -> Result<Connection> {
        ResourceManager::open_connection(self, direction, uses_fd, endpoint.into())
    }

    /// Opens a stream with a peer.
    ///
    /// # Errors
    ///
    /// As [`ResourceManager::open_stream`].
    #[inline]
    pub fn open_stream(&self, peer: &PeerId, direction: Direction) -> Result<Stream> {
        ResourceManager::open_stream(self, peer, direction)
    }

    /// Opens a stream with a peer, whose protocol, and perhaps service, are known.
    ///
    /// # Errors
    ///
    /// As [`ResourceManager::open_stream_with`].
    pub fn open_stream_with(
        &self,
        peer: &PeerId,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Stream> {
        ResourceManager::open_stream_with(self, peer, direction, protocol, service)
    }

    /// Whether the transport should make the remote prove its address first: see
    /// [`ResourceManager::verify_source_address`].
    pub fn verify_source_address(&self, ip: IpAddr) -> bool {
        ResourceManager::verify_source_address(self, ip)
    }

    /// A handle on a service: its scope, or a span of the system scope if the service has no limit.
    ///
    /// # Errors
    ///
    /// As [`ResourceManager::open_service`].
    pub fn open_service(&self, service: &str) -> Result<Service> {
        ResourceManager::open_service(self, service)
    }

    /// The system scope.
    pub fn view_system(&self) -> Scope {
        ResourceManager::view_system(self)
    }

    /// The transient scope.
    pub fn view_transient(&self) -> Scope {
        ResourceManager::view_transient(self)
    }

    /// The scope of a service, made if absent. It lives as long as the manager.
    pub fn view_service(&self, service: &str) -> Scope {
        ResourceManager::view_service(self, service)
    }

    /// The scope of a protocol, made if absent. It lives while something refers to it or it holds
    /// something.
    pub fn view_protocol(&self, protocol: &str) -> Scope {
        ResourceManager::view_protocol(self, protocol)
    }

    /// The scope of a peer, made if absent. It lives while something refers to it or it holds
    /// something.
    pub fn view_peer(&self, peer: &PeerId) -> Scope {
        ResourceManager::view_peer(self, peer)
    }

    /// The names of all services.
    pub fn services(&self) -> Vec<Arc<str>> {
        ResourceManager::services(self)
    }

    /// The ids of all live protocols.
    pub fn protocols(&self) -> Vec<Arc<str>> {
        ResourceManager::protocols(self)
    }

    /// The ids of all live peers.
    pub fn peers(&self) -> Vec<PeerId> {
        ResourceManager::peers(self)
    }

    /// The usage of all named scopes.
    pub fn stat(&self) -> ManagerStat {
        ResourceManager::stat(self)
    }

    /// The limits in force: those that were set last, with limits by address that were changed alone.
    /// Limits of single scopes are not among them.
    pub fn limits(&self) -> Arc<Limits> {
        ResourceManager::limits(self)
    }

    /// Changes all limits in place, for open scopes too: see [`ResourceManager::set_limits`]. The
    /// limits by address and the dry run change with them.
    ///
    /// No request to scopes is checked against a mixture of old and new limits. A connection that is
    /// opened meanwhile is checked against limits by address and then against those of the scopes:
    /// in each of the two checks the old or the new ones. After this has returned, both are new.
    pub fn set_limits(&self, limits: Limits) {
        ResourceManager::set_limits(self, limits);
    }

    /// Refuses to open anything from now on. Open connections and streams proceed until they are
    /// done.
    ///
    /// [`wait_until_released`](Self::wait_until_released) waits for their end.
    pub fn close(&self) {
        ResourceManager::close(self);
    }

    /// Waits until everything is given back: all connections, streams and memory. It blocks the
    /// thread, which looks at the usage at growing intervals, at most 10 ms apart.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, UsesFd};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
    /// manager.close();
    ///
    /// let left = manager.wait_until_released(Duration::from_millis(5)).unwrap_err();
    /// assert_eq!(left.system.conns_inbound, 1);
    ///
    /// std::thread::spawn(move || drop(connection));
    /// assert!(manager.wait_until_released(Duration::from_secs(60)).is_ok());
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The usage that is left after `timeout`.
    pub fn wait_until_released(
        &self,
        timeout: Duration,
    ) -> std::result::Result<(), Box<ManagerStat>> {
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        while self.holds_something() {
            let Some(left) = timeout.checked_sub(start.elapsed()) else {
                return Err(Box::new(self.stat()));
            };
            thread::sleep(pause.min(left));
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}
