//! The manager: it opens connections and streams, and gives views of scopes.

use std::net::IpAddr;
use std::sync::Arc;

use rcmgr_address::Addresses;
use rcmgr_core::{
    Clock, Direction, Endpoint, Limits, ManagerStat, PeerId, Priority, ResourceManager, Result,
    ScopeId, ScopeStat, UsesFd,
};

use super::handle::{Connection, Named, OfConnection, Stream, View};
use super::primitives::{Shared, name_memory};
use super::registry::Registry;
use super::scope::{Above, Scope};
use crate::setting::Setting;

/// A resource manager with a mutex for each scope, as a comparison.
///
/// ```
/// use std::sync::Arc;
/// use rcmgr_atomic::SystemClock;
/// use rcmgr_core::{Direction, Limits, ResourceManager, StreamScope};
/// use rcmgr_study::MutexResourceManager;
///
/// let manager = MutexResourceManager::new(Limits::unlimited(), Arc::new(SystemClock::new()));
/// let stream = manager.open_stream(&"tenant-7".parse()?, Direction::Inbound)?;
/// stream.set_protocol("/ipfs/kad/1.0.0")?;
/// assert_eq!(manager.stat().system.streams_inbound, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MutexResourceManager {
    registry: Shared<Registry>,
    addresses: Addresses,
}

impl MutexResourceManager {
    /// A manager with these limits. The address limiters are the same as in rcmgr-atomic.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let allowlisted = limits.allowlisted_system.conns;
        let addresses = Addresses::new(limits.addresses.clone(), allowlisted, clock);
        let registry = Shared::new(Registry::new(limits));
        name_memory(&registry, || "names".to_owned());
        Self {
            registry,
            addresses,
        }
    }

    pub(crate) fn of(setting: &Setting) -> Self {
        Self::new(setting.limits.clone(), setting.clock.clone())
    }

    fn names(&self, pick: impl Fn(&ScopeId) -> Option<Arc<str>>) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        let registry = &self.registry;
        registry.for_each(|scope| names.extend(pick(&scope.name().scope)));
        names.sort();
        names
    }
}

fn view(scope: Shared<Scope>) -> View {
    View::new(scope, Named)
}

impl ResourceManager for MutexResourceManager {
    type Scope = View;
    type Service = View;
    type Connection = Connection;
    type Stream = Stream;

    fn open_connection(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: Endpoint,
    ) -> Result<Connection> {
        self.registry.check_open()?;
        let permit = self.addresses.admit(endpoint)?;
        let id = ScopeId::Connection(self.registry.next_number());
        let limit = self.registry.limits.lock().conn;
        let above = Above::Edges(self.registry.transient_edges(None));
        let scope = Scope::new(id, limit, above);
        let one = ScopeStat {
            conns_inbound: u64::from(direction == Direction::Inbound),
            conns_outbound: u64::from(direction == Direction::Outbound),
            fd: u64::from(uses_fd == UsesFd::Yes),
            ..ScopeStat::ZERO
        };
        scope.reserve(&one, Priority::Always)?;
        let kind = OfConnection {
            registry: self.registry.clone(),
            direction,
            permit,
        };
        Ok(Connection::new(scope, kind))
    }

    fn open_stream(&self, peer: &PeerId, direction: Direction) -> Result<Stream> {
        self.registry.check_open()?;
        let peer = self.registry.peer(peer);
        Stream::open(&self.registry, peer, direction, None, None)
    }

    fn open_stream_with(
        &self,
        peer: &PeerId,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Stream> {
        self.registry.check_open()?;
        let peer = self.registry.peer(peer);
        Stream::open(&self.registry, peer, direction, Some(protocol), service)
    }

    fn verify_source_address(&self, ip: IpAddr) -> bool {
        self.addresses.verify_source_address(ip)
    }

    fn open_service(&self, service: &str) -> Result<View> {
        self.registry.check_open()?;
        Ok(self.view_service(service))
    }

    fn view_system(&self) -> View {
        view(self.registry.system.clone())
    }

    fn view_transient(&self) -> View {
        view(self.registry.transient.clone())
    }

    fn view_service(&self, service: &str) -> View {
        view(self.registry.service(service).scope().clone())
    }

    fn view_protocol(&self, protocol: &str) -> View {
        view(self.registry.protocol(protocol).scope().clone())
    }

    fn view_peer(&self, peer: &PeerId) -> View {
        view(self.registry.peer(peer))
    }

    fn services(&self) -> Vec<Arc<str>> {
        self.names(|id| match id {
            ScopeId::Service(name) => Some(name.clone()),
            _ => None,
        })
    }

    fn protocols(&self) -> Vec<Arc<str>> {
        self.names(|id| match id {
            ScopeId::Protocol(name) => Some(name.clone()),
            _ => None,
        })
    }

    fn peers(&self) -> Vec<PeerId> {
        let mut peers = Vec::new();
        let registry = &self.registry;
        registry.for_each(|scope| {
            if let ScopeId::Peer(peer) = &scope.name().scope {
                peers.push(*peer);
            }
        });
        peers.sort();
        peers
    }

    fn stat(&self) -> ManagerStat {
        let used = |scope: &Shared<Scope>| scope.with(|state| state.used);
        let mut stat = ManagerStat {
            system: used(&self.registry.system),
            transient: used(&self.registry.transient),
            ..ManagerStat::default()
        };
        self.registry.for_each(|scope| match &scope.name().scope {
            ScopeId::Service(name) => drop(stat.services.insert(name.clone(), used(scope))),
            ScopeId::Protocol(id) => drop(stat.protocols.insert(id.clone(), used(scope))),
            ScopeId::Peer(id) => drop(stat.peers.insert(*id, used(scope))),
            _ => {}
        });
        stat
    }

    fn limits(&self) -> Arc<Limits> {
        self.registry.limits.lock().clone()
    }

    fn set_limits(&self, limits: Limits) {
        self.registry.set_limits(limits);
    }

    fn close(&self) {
        self.registry.close();
    }
}
