//! The manager.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

#[cfg(feature = "address")]
use rcmgr_address::AddressStat;
use rcmgr_core::{
    Direction, Endpoint, Limit, Limits, ManagerStat, PeerId, Refusals, ResourceManager, Result,
    ScopeClass, ScopeId, ScopeStat, UsesFd,
};

use super::connection::Connection;
use super::opened_path::OpenedPath;
use super::scope::Scope;
use super::service::Service;
use super::span::Span;
use super::stream::{Stream, open_stream_with};
use crate::counters::{ConnMemory, PerThread, Slot};
use crate::engine::{Engine, Path};
use crate::leaf::{More, ask_refused_peer, charge_in_turn, pay_for_new, stream_path};
use crate::lifetime::Use;
#[cfg(feature = "address")]
use crate::limits::Addresses;
use crate::limits::{BarePermit, Listing};
use crate::node::Node;
use crate::path::PathKind;
use crate::span::{NodeUser, Owner};
use crate::waiting::Ticket;

/// The resource manager: it decides, for every connection, stream, file descriptor and byte of
/// buffer, whether the server may take it on.
///
/// A clone is another handle on the same manager. Open connections and streams outlive all handles
/// on it.
///
/// ```
/// use rcmgr_atomic::{
///     Manager, Direction, Endpoint, Error, Limits, ResourceManager, UsesFd,
/// };
///
/// let mut limits = Limits::unlimited();
/// limits.system.conns_inbound = 1.into();
/// let manager = Manager::new(limits)?;
///
/// let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
/// let first = open()?;
/// let refused = open().unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "system refused 1 inbound connection: 1 of 1 in use",
/// );
/// assert!(refused.is_temporary());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Manager {
    engine: Arc<Engine>,
    /// The path of a new connection: one for each shard of threads, because each connection changes
    /// the count of uses of its path.
    opened: Arc<PerThread<OpenedPath>>,
    /// The path of a new connection that the allowlist lets in.
    allowlisted_opened: Use<Path>,
    /// The same, if the allowlist lets in only peers, whatever their address.
    unproven_opened: Use<Path>,
}

impl Manager {
    pub(super) fn of(engine: Arc<Engine>) -> Self {
        Self {
            opened: Arc::new(PerThread::new(|| OpenedPath::new(&engine))),
            allowlisted_opened: engine.allowlisted_opened_path(),
            unproven_opened: engine.unproven_opened_path(),
            engine,
        }
    }

    /// How often scopes of a class have refused, collected scopes included.
    pub fn refusals(&self, class: ScopeClass) -> Refusals {
        self.engine.refusals(class)
    }

    /// How often scopes of each class have refused, in the order of [`ScopeClass::ALL`]. It visits
    /// every scope once. A call of [`refusals`](Self::refusals) for each class would visit them
    /// once for each.
    pub fn all_refusals(&self) -> [Refusals; ScopeClass::ALL.len()] {
        self.engine.count_refusals(ScopeClass::ALL, &mut |_| {})
    }

    /// How often a scope of each class would have refused in the [dry run](crate::Builder::dry_run), in the
    /// order of [`ScopeClass::ALL`]. The numbers never decrease, and stay when the dry run ends.
    pub fn dry_run_refusals(&self) -> [Refusals; ScopeClass::ALL.len()] {
        self.engine.dry_run_refusals()
    }

    /// The counters of the limits by address of the [dry run](crate::Builder::dry_run): its refusals, and
    /// the permits of the connections that were opened since it began. `None` without a dry run.
    #[cfg(feature = "address")]
    pub fn dry_run_addresses(&self) -> Option<AddressStat> {
        let addresses = self.engine.dry_run().addresses()?;
        Some(addresses.stat())
    }

    /// The scopes of a class that refused and no longer exist, with their refusals: those with the
    /// most, at most 16. A peer or protocol that may have nothing is found only here, because it is
    /// collected with each refusal. The numbers are also part of [`refusals`](Self::refusals). A
    /// scope is dropped from the list if others have more, and then counts from zero. Where several
    /// threads are refused at the same moment, some of these refusals may be missing in the list.
    /// Names of more than 1024 bytes are not kept.
    ///
    /// ```
    /// use rcmgr_atomic::{Direction, Limit, Limits, Manager, PeerId, ResourceManager, ScopeClass};
    ///
    /// let peer: PeerId = "192.0.2.7".parse()?;
    /// let mut limits = Limits::unlimited();
    /// limits.peer.insert(peer, Limit::BLOCK_ALL);
    /// let manager = Manager::new(limits)?;
    /// manager.open_stream(&peer, Direction::Inbound).unwrap_err();
    /// let refusers = manager.past_refusers(ScopeClass::Peer);
    /// assert_eq!(refusers[0].0.to_string(), "peer:192.0.2.7");
    /// assert_eq!(refusers[0].1.streams_inbound, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn past_refusers(&self, class: ScopeClass) -> Vec<(ScopeId, Refusals)> {
        self.engine.past_refusers().of(class)
    }

    /// The limits by address, which are checked before the scopes: allowlist, limits of subnets,
    /// rates. All of them can be changed while the manager runs.
    #[cfg(feature = "address")]
    pub fn addresses(&self) -> &Addresses {
        self.engine.addresses()
    }

    /// How often more was released than a scope of the class held: a bug of the program.
    pub fn over_releases(&self, class: ScopeClass) -> u64 {
        self.engine.over_releases(class)
    }

    /// How many open connections hold how much memory, including their spans. While connections
    /// reserve and release, each is counted where it was a moment ago or where it is now.
    ///
    /// ```
    /// use rcmgr_atomic::{
    ///     Manager, ConnMemory, Direction, Endpoint, Limits, Priority,
    ///     ResourceManager, ResourceScope, UsesFd,
    /// };
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let conn = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
    /// conn.reserve_memory(4000, Priority::Always)?;
    /// assert_eq!(ConnMemory::BOUNDS[..2], [1024, 4096]);
    /// assert_eq!(manager.conn_memory().counts[..3], [0, 1, 0]);
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    pub fn conn_memory(&self) -> ConnMemory {
        self.engine.conn_memory().get()
    }

    /// A report on every scope that connections and streams are charged on: system, transient, the
    /// services, and the live protocols and peers with the shares of each peer. Each scope is read
    /// by itself.
    pub fn scopes(&self) -> Vec<ScopeReport> {
        let mut reports = Vec::new();
        self.for_each_scope(|report| reports.push(report));
        reports.sort_by(|a, b| a.id.cmp(&b.id));
        reports
    }

    /// Calls `f` with the reports of [`scopes`](Self::scopes), one by one and in any order. With
    /// very many scopes that is much cheaper than collecting all reports. No lock is held while `f`
    /// is called, and a panic of `f` leaves nothing half done.
    ///
    /// It returns what [`all_refusals`](Self::all_refusals) returns, from the same visit of the
    /// scopes.
    ///
    /// ```
    /// use rcmgr_atomic::{Manager, Limits, ScopeClass};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let mut scopes = 0;
    /// let refusals = manager.for_each_scope(|_| scopes += 1);
    /// assert_eq!(scopes, 4); // system and transient, and the same of the allowlist
    /// assert_eq!(refusals[ScopeClass::System as usize].total(), 0);
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    pub fn for_each_scope(
        &self,
        mut f: impl FnMut(ScopeReport),
    ) -> [Refusals; ScopeClass::ALL.len()] {
        let classes = ScopeClass::ALL;
        self.engine.count_refusals(classes, &mut |node| {
            f(ScopeReport {
                id: node.id().clone(),
                stat: self.engine.stat(node),
                limit: self.engine.limit(node),
                peak: node.peak(),
                refusals: self.engine.refused_by(node, Node::refusals),
                dry_run_refusals: self.engine.refused_by(node, |node| node.dry_run.refused()),
            });
        })
    }

    /// Whether any scope holds something: each charge is on one of the two system scopes.
    pub(super) fn holds_something(&self) -> bool {
        let nodes = [self.engine.system(), self.engine.allowlisted_system()];
        nodes.iter().any(|node| !self.engine.stat(node).is_zero())
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The path of a new connection that this thread opens.
    #[inline]
    fn opened(&self) -> &Use<Path> {
        self.opened.of_this_thread().path()
    }

    /// The path of a connection from here that the allowlist lets in, if it lists the endpoint.
    pub(super) fn allowlisted_path(&self, endpoint: Endpoint) -> Option<&Use<Path>> {
        match self.engine.addresses().allowlist().listing(endpoint) {
            Listing::NotListed => None,
            Listing::SomePeers => Some(&self.unproven_opened),
            Listing::SomePeersHere | Listing::EveryPeer => Some(&self.allowlisted_opened),
        }
    }

    /// The paths that a connection from here may begin on.
    pub(super) fn paths_of(&self, endpoint: Endpoint) -> impl Iterator<Item = &Use<Path>> {
        std::iter::once(self.opened()).chain(self.allowlisted_path(endpoint))
    }

    /// Charges the standard scopes with a connection, or the allowlisted ones if those have no room.
    /// Returns the path in the allowlisted scopes.
    pub(super) fn charge_connection(
        &self,
        endpoint: Endpoint,
        slot: Slot,
        ticket: Ticket,
    ) -> Result<Option<&Use<Path>>> {
        let Err(refused) = charge_in_turn(self.opened(), slot, ticket) else {
            return Ok(None);
        };
        let path = self.allowlisted_path(endpoint).ok_or(refused)?;
        charge_in_turn(path, slot, ticket)?;
        Ok(Some(path))
    }

    /// Opens a connection in the general way, where credit did not pay at once.
    // Not part of its caller, whose frame stays small.
    #[inline(never)]
    fn open_in_general(
        &self,
        endpoint: Endpoint,
        slot: Slot,
        mut permit: BarePermit,
    ) -> Result<Connection> {
        let refused = match charge_in_turn(self.opened(), slot, Ticket::NOW) {
            Ok(()) => return Ok(self.admitted(endpoint, slot, permit)),
            Err(refused) => refused,
        };
        self.engine.addresses().give_back_last(&mut permit);
        // The standard scopes refused. The allowlisted scopes need no permit.
        let path = self.allowlisted_path(endpoint).ok_or(refused)?;
        charge_in_turn(path, slot, Ticket::NOW)?;
        Ok(self.allowlisted(endpoint, slot, path))
    }

    /// A connection that is charged on the standard scopes.
    #[inline(always)]
    pub(super) fn admitted(
        &self,
        endpoint: Endpoint,
        slot: Slot,
        permit: BarePermit,
    ) -> Connection {
        if self.engine.is_observed() {
            return self.observed_connection(endpoint, slot, permit);
        }
        Connection::new(self.opened().join(), slot, permit, None)
    }

    /// A connection that is charged on `path` in the allowlisted scopes. It has no permit, in a dry
    /// run neither.
    pub(super) fn allowlisted(
        &self,
        endpoint: Endpoint,
        slot: Slot,
        path: &Use<Path>,
    ) -> Connection {
        drop(self.engine.evaluate_connection(endpoint, path, slot));
        let more = More {
            allowlisted: Some(endpoint),
            dry_run_permit: None,
        };
        let (permit, more) = (BarePermit::none(), Some(Box::new(more)));
        let connection = Connection::new(path.join(), slot, permit, more);
        connection.record_opened();
        connection
    }

    /// A connection that the standard scopes let in, recorded, and evaluated in a dry run.
    #[cold]
    fn observed_connection(
        &self,
        endpoint: Endpoint,
        slot: Slot,
        permit: BarePermit,
    ) -> Connection {
        let path = self.opened();
        let evaluated = self.engine.evaluate_connection(endpoint, path, slot);
        let more = evaluated.map(|permit| {
            Box::new(More {
                allowlisted: None,
                dry_run_permit: Some(permit),
            })
        });
        let connection = Connection::new(path.join(), slot, permit, more);
        connection.record_opened();
        connection
    }

    /// A handle on a node. The caller hands its use of the node over.
    fn view(&self, node: Arc<Node>) -> Scope {
        Scope::new(NodeUser::new(node, self.engine.clone()))
    }
}

/// A report on one scope, by [`Manager::scopes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeReport {
    /// Which scope it is.
    pub id: ScopeId,
    /// Its usage.
    pub stat: ScopeStat,
    /// Its limit.
    pub limit: Limit,
    /// The peak of each counter since it was made.
    pub peak: ScopeStat,
    /// How often it has refused since it was made.
    pub refusals: Refusals,
    /// How often it would have refused in a dry run since it was made.
    pub dry_run_refusals: Refusals,
}

impl ResourceManager for Manager {
    type Scope = Scope;
    type Service = Service;
    type Connection = Connection;
    type Stream = Stream;

    fn open_connection(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: Endpoint,
    ) -> Result<Connection> {
        self.engine.check_open()?;
        let slot = Slot::Connection(direction, uses_fd);
        let addresses = self.engine.addresses();
        let permit = addresses.admit_bare(endpoint)?;
        if pay_for_new(self.opened(), slot) {
            return Ok(self.admitted(endpoint, slot, permit));
        }
        self.open_in_general(endpoint, slot, permit)
    }

    fn verify_source_address(&self, ip: IpAddr) -> bool {
        self.engine.addresses().verify_source_address(ip)
    }

    fn open_stream(&self, peer: &PeerId, direction: Direction) -> Result<Stream> {
        self.engine.check_open()?;
        let path = stream_path(&self.engine, peer, direction)?;
        Stream::open(path, direction)
    }

    fn open_stream_with(
        &self,
        peer: &PeerId,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Stream> {
        self.engine.check_open()?;
        ask_refused_peer(&self.engine, peer, direction)?;
        let from = self.engine.peer_path(PathKind::Stream, peer);
        open_stream_with(from, direction, protocol, service)
    }

    fn open_service(&self, service: &str) -> Result<Service> {
        self.engine.check_open()?;
        if self.engine.has_service_limit(service) {
            Ok(Service::Scope(self.view_service(service)))
        } else {
            let owner = Owner::Node(self.engine.system().clone(), self.engine.clone());
            Span::begin(owner).map(Service::Span)
        }
    }

    fn view_system(&self) -> Scope {
        self.view(self.engine.system().clone())
    }

    fn view_transient(&self) -> Scope {
        self.view(self.engine.transient().clone())
    }

    fn view_service(&self, service: &str) -> Scope {
        self.view(self.engine.service(service))
    }

    fn view_protocol(&self, protocol: &str) -> Scope {
        self.view(self.engine.protocol(protocol))
    }

    fn view_peer(&self, peer: &PeerId) -> Scope {
        self.view(self.engine.peer(peer))
    }

    fn services(&self) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        self.engine
            .for_each_service(&mut |node| names.extend(node.id().name().cloned()));
        names.sort();
        names
    }

    fn protocols(&self) -> Vec<Arc<str>> {
        let mut ids = Vec::new();
        self.engine
            .for_each_protocol(&mut |node| ids.extend(node.id().name().cloned()));
        ids.sort();
        ids
    }

    fn peers(&self) -> Vec<PeerId> {
        let mut ids = Vec::new();
        self.engine
            .for_each_peer(&mut |node| ids.extend(node.id().peer()));
        ids.sort();
        ids
    }

    fn stat(&self) -> ManagerStat {
        let mut services = BTreeMap::new();
        let mut protocols = BTreeMap::new();
        let mut peers = BTreeMap::new();
        self.engine.visit_each(&mut |node| match node.id() {
            ScopeId::Service(name) => drop(services.insert(name.clone(), self.engine.stat(node))),
            ScopeId::Protocol(id) => drop(protocols.insert(id.clone(), self.engine.stat(node))),
            ScopeId::Peer(id) => drop(peers.insert(*id, self.engine.stat(node))),
            _ => {}
        });
        ManagerStat {
            system: self.engine.stat(self.engine.system()),
            transient: self.engine.stat(self.engine.transient()),
            allowlisted_system: self.engine.stat(self.engine.allowlisted_system()),
            allowlisted_transient: self.engine.stat(self.engine.allowlisted_transient()),
            services,
            protocols,
            peers,
        }
    }

    fn limits(&self) -> Arc<Limits> {
        self.engine.limits()
    }

    fn set_limits(&self, limits: Limits) {
        self.engine.set_limits(limits);
    }

    fn close(&self) {
        self.engine.close();
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("system", &self.engine.stat(self.engine.system()))
            .finish_non_exhaustive()
    }
}
