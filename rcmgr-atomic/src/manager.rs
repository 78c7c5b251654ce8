use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rcmgr_core::{
    Clock, Direction, Endpoint, Limit, Limits, ManagerStat, PeerId, Refusals, ResourceManager,
    Result, ScopeClass, ScopeId, ScopeStat, UsesFd,
};

use crate::addresses::{AddressConfig, Addresses};
use crate::clock::SystemClock;
use crate::conn_memory::ConnMemory;
use crate::direct::NodeUser;
use crate::engine::Engine;
use crate::handles::{Connection, Stream, open_stream_with};
use crate::leaf::charge_new;
use crate::lending::CreditOptions;
use crate::node::Node;
use crate::path::{Path, PathKind};
use crate::record::{Record, Recorder};
use crate::scope::{Scope, Service, Span};
use crate::shared::Use;
use crate::slot::Slot;
use crate::span::Owner;

/// The resource manager: decides for every connection, stream, file descriptor and byte of buffer,
/// with atomic steps.
///
/// A clone is another handle on the same manager. What is open goes on when all handles are gone.
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
    /// What a connection is charged on when it is opened.
    opened: Use<Path>,
    /// ... if the allowlist lets it in.
    allowlisted_opened: Use<Path>,
}

impl Manager {
    /// A manager with these limits, and the default limits on addresses
    /// ([`AddressConfig::default`]).
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::Error::BadConfiguration) if the configuration can't work.
    /// (Limits alone always can.)
    pub fn new(limits: Limits) -> Result<Self> {
        Self::builder().limits(limits).build()
    }

    /// A manager with more to choose than its limits.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// How often scopes of a class refused, those that are gone included.
    pub fn refusals(&self, class: ScopeClass) -> Refusals {
        self.engine.refusals(class)
    }

    /// How often scopes of each class refused, in the order of [`ScopeClass::ALL`]. It looks at every
    /// scope once, where [`refusals`](Self::refusals) of each class would look once for each.
    pub fn all_refusals(&self) -> [Refusals; ScopeClass::ALL.len()] {
        self.engine.count_refusals(ScopeClass::ALL, &mut |_| {})
    }

    /// What is asked of an address before the scopes are: allowlist, limits of subnets, rates. All of
    /// it can be changed while the manager runs.
    #[cfg(feature = "address")]
    pub fn addresses(&self) -> &Addresses {
        self.engine.addresses()
    }

    /// How often more was released than a scope of the class held: a bug of the program.
    pub fn over_releases(&self, class: ScopeClass) -> u64 {
        self.engine.over_releases(class)
    }

    /// How many open connections hold how much memory, that of their spans included. While
    /// connections reserve and release, each is counted where it was a moment ago or is by now.
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

    /// Everything about every scope that others are charged on: system, transient, the services,
    /// and the live protocols and peers with each peer's shares. Each is read by itself.
    pub fn scopes(&self) -> Vec<ScopeReport> {
        let mut reports = Vec::new();
        self.for_each_scope(|report| reports.push(report));
        reports.sort_by(|a, b| a.id.cmp(&b.id));
        reports
    }

    /// What [`scopes`](Self::scopes) says, one by one and in any order: with very many scopes that is
    /// much cheaper than to collect all. Nothing is locked while `f` is called.
    ///
    /// It gives what [`all_refusals`](Self::all_refusals) does, in the same look at the scopes.
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
                refusals: node.refusals(),
            });
        })
    }

    /// A handle on a node that the caller is a user of.
    fn view(&self, node: Arc<Node>) -> Scope {
        Scope::new(NodeUser::new(node, self.engine.clone()))
    }
}

/// What [`Manager::scopes`] says of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeReport {
    /// Which scope it is.
    pub id: ScopeId,
    /// What it uses.
    pub stat: ScopeStat,
    /// What it may use.
    pub limit: Limit,
    /// The most that it ever used at once, counter by counter, since it was made.
    pub peak: ScopeStat,
    /// How often it refused, since it was made.
    pub refusals: Refusals,
}

/// What a manager is made of.
///
/// ```
/// use rcmgr_atomic::address::{AddressConfig, RateLimits};
/// use rcmgr_atomic::{Manager, Limits};
///
/// let manager = Manager::builder()
///     .limits(Limits::unlimited())
///     .addresses(AddressConfig {
///         allowlist: vec!["/ip4/192.0.2.0/ipcidr/24".parse()?],
///         rates: RateLimits::none(),
///         ..AddressConfig::default()
///     })
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Builder {
    limits: Limits,
    addresses: AddressConfig,
    clock: Arc<dyn Clock>,
    credit: CreditOptions,
    recorder: Option<Arc<dyn Recorder>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            limits: Limits::unlimited(),
            addresses: AddressConfig::default(),
            clock: Arc::new(SystemClock::new()),
            credit: CreditOptions::DEFAULT,
            recorder: None,
        }
    }
}

impl Builder {
    /// The limits to begin with. Without them there are none.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What is asked of an address before the scopes are: the defaults if nothing else is said.
    #[cfg(feature = "address")]
    pub fn addresses(mut self, addresses: AddressConfig) -> Self {
        self.addresses = addresses;
        self
    }

    /// How much each thread may find charged in advance on the path of a connection or stream: at most
    /// so many bytes of memory (at most 16 MiB) and so many streams in each direction, both rounded
    /// down to a power of two; less where a limit is near, and all together at most an eighth of what
    /// a limit leaves. By default it is 256 KiB and 64 streams; with zero and zero everything charges
    /// every scope.
    ///
    /// It makes reservations and streams cheaper, above all where threads share scopes, and changes no
    /// outcome: what is charged in advance is not usage, and is called in before a scope refuses. Only
    /// [`peak`](crate::Scope::peak) may include some of it.
    pub fn prepaid_credit(mut self, memory: u64, streams: u64) -> Self {
        self.credit.most_memory = memory;
        self.credit.most_streams = streams;
        self
    }

    /// After how many charges a path has credit: for tests, in which few are many.
    #[doc(hidden)]
    pub fn credit_after(mut self, charges: u64) -> Self {
        self.credit.warm = charges;
        self
    }

    /// Where time comes from: the machine's clock if nothing else is said.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who is told of every operation: nobody if nothing else is said. With a recorder there is no
    /// [prepaid credit](Self::prepaid_credit), because every operation is told as one that every scope
    /// was asked. A recorder can serve several managers only if it does not mind that scopes have
    /// the same names.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Makes the manager.
    ///
    /// # Errors
    ///
    /// As [`Manager::new`].
    pub fn build(mut self) -> Result<Manager> {
        if self.recorder.is_some() {
            (self.credit.most_memory, self.credit.most_streams) = (0, 0);
        }
        let allowlisted_conns = self.limits.allowlisted_system.conns;
        let addresses = Addresses::new(self.addresses, allowlisted_conns, self.clock.clone())?;
        let engine = Engine::new(self.limits, addresses, self.clock, self.credit);
        let engine = Arc::new(engine.with_recorder(self.recorder));
        engine.record(|| Record::start(&engine));
        Ok(Manager {
            opened: engine.opened_path(),
            allowlisted_opened: engine.allowlisted_opened_path(),
            engine,
        })
    }
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
        let mut permit = addresses.admit_bare(endpoint)?;
        let refused = match charge_new(&self.opened, slot) {
            Ok(()) => return Ok(Connection::new(self.opened.join(), slot, permit)),
            Err(refused) => refused,
        };
        addresses.give_back_last(&mut permit);
        match endpoint.ip() {
            Some(ip) if addresses.allowlist().allows_ip(ip) => {
                let path = &self.allowlisted_opened;
                charge_new(path, slot)?;
                Ok(Connection::allowlisted(path.join(), slot, ip))
            }
            _ => Err(refused),
        }
    }

    fn verify_source_address(&self, ip: IpAddr) -> bool {
        self.engine.addresses().verify_source_address(ip)
    }

    fn open_stream(&self, peer: &PeerId, direction: Direction) -> Result<Stream> {
        self.engine.check_open()?;
        let path = self.engine.stream_path(peer, direction)?;
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
        self.engine.ask_refused_peer(peer, direction)?;
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
        self.engine.look_at_each(&mut |node| match node.id() {
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
