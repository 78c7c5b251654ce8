//! The engine: the state that all scopes of a manager share.

use std::fmt;
use std::sync::Arc;

use rcmgr_core::{Clock, Error, Limit, Limits, Result, ScopeClass, ScopeId, ScopeName, ScopeStat};

use super::dry_run::{DryRun, with_flat_dry_run};
use super::leaf_class::LeafClass;
use super::over_releases::OverReleases;
use super::past_refusers::PastRefusers;
use super::record::Recorder;
use super::refused_peers::RefusedPeers;
use super::unproven::Unproven;
use crate::counters::{ClassRefusals, ConnMemoryCounts, Slot};
use crate::lending::{CreditOptions, Lending};
use crate::limits::{Addresses, CurrentVersion};
use crate::node::{Node, NodeLimit, Registry};
use crate::path::{self, Peers};
use crate::sync::{AtomicBool, Ordering, Published, RareLock, Table};
use crate::waiting::Waiters;

/// The paths of an engine.
pub type Path = path::Path<Engine>;

/// The state that all scopes of a manager share.
pub struct Engine {
    system: Arc<Node>,
    transient: Arc<Node>,
    allowlisted_system: Arc<Node>,
    allowlisted_transient: Arc<Node>,
    unproven: Unproven,
    pub(super) services: Table<Arc<str>, Arc<Node>>,
    pub(super) protocols: Registry<Arc<str>>,
    pub(super) peers: Peers<Self>,
    refused_peers: RefusedPeers,
    /// The share of each peer in each service and protocol.
    pub(super) shares: Registry<ScopeId>,

    addresses: Addresses,
    pub(super) lending: Lending<Self>,
    pub(super) waiters: Waiters,
    pub(super) versions: CurrentVersion,
    /// All limits, for either slot.
    pub(super) limits: [Published<Limits>; 2],
    /// Limits that were set on single scopes. Those of peers and protocols outlive the scope and a
    /// change of all limits. The thread that sets one is a user of the node, so the node is not
    /// made meanwhile with a limit that is not yet in force.
    pub(super) overrides: Table<ScopeId, Limit>,
    pub(super) limits_lock: RareLock,
    /// Whether it was logged that some limits are not enforced.
    pub(super) has_warned: AtomicBool,
    pub(super) conn: LeafClass,
    pub(super) stream: LeafClass,
    conn_memory: ConnMemoryCounts,

    refusals: ClassRefusals,
    dry_run: DryRun,
    past_refusers: PastRefusers,
    over_releases: OverReleases,
    clock: Arc<dyn Clock>,
    closed: AtomicBool,
    recorder: Option<Arc<dyn Recorder>>,
}

impl Engine {
    pub fn new(
        limits: Limits,
        addresses: Addresses,
        clock: Arc<dyn Clock>,
        credit: CreditOptions,
    ) -> Self {
        let limits = with_flat_dry_run(limits);
        let dry_run = DryRun::new(&limits, &clock);
        let evaluated = limits.dry_run.as_deref();
        let node = |id, parent, limit: fn(&Limits) -> Limit| {
            let limit = NodeLimit {
                enforced: limit(&limits),
                dry_run: evaluated.map(limit),
            };
            Node::new(id, parent, &[limit; 2]).into_shared()
        };
        let system = node(ScopeId::System, None, |limits| limits.system);
        let parent = Some(system.clone());
        let transient = node(ScopeId::Transient, parent, |limits| limits.transient);
        let allowlisted_system = node(ScopeId::AllowlistedSystem, None, |limits| {
            limits.allowlisted_system
        });
        let parent = Some(allowlisted_system.clone());
        let allowlisted_transient = node(ScopeId::AllowlistedTransient, parent, |limits| {
            limits.allowlisted_transient
        });
        Self {
            system,
            transient,
            allowlisted_system,
            allowlisted_transient,
            unproven: Unproven::new(&limits),
            services: Table::new(),
            protocols: Registry::new(),
            peers: Peers::new(),
            refused_peers: RefusedPeers::new(),
            shares: Registry::new(),
            conn: LeafClass::new(&limits.conn, evaluated.map(|dry_run| &dry_run.conn)),
            stream: LeafClass::new(&limits.stream, evaluated.map(|dry_run| &dry_run.stream)),
            conn_memory: ConnMemoryCounts::new(),
            addresses,
            lending: Lending::new(credit),
            waiters: Waiters::new(),
            versions: CurrentVersion::new(),
            limits: [Published::new(limits.clone()), Published::new(limits)],
            overrides: Table::new(),
            limits_lock: RareLock::default(),
            has_warned: AtomicBool::new(false),
            refusals: ClassRefusals::new(),
            dry_run,
            past_refusers: PastRefusers::new(),
            over_releases: OverReleases::new(),
            clock,
            closed: AtomicBool::new(false),
            recorder: None,
        }
    }

    /// The same engine, with a recorder of its operations.
    pub fn with_recorder(self, recorder: Option<Arc<dyn Recorder>>) -> Self {
        let dry_run = match recorder {
            Some(_) => self.dry_run.with_recorder(),
            None => self.dry_run,
        };
        Self {
            recorder,
            dry_run,
            ..self
        }
    }

    #[inline]
    pub fn recorder(&self) -> Option<&dyn Recorder> {
        self.recorder.as_deref()
    }

    pub fn leaf_class(&self, slot: Slot) -> &LeafClass {
        match slot {
            Slot::Connection(..) => &self.conn,
            Slot::Stream(_) => &self.stream,
        }
    }

    /// Connections, counted by how much memory they hold.
    pub fn conn_memory(&self) -> &ConnMemoryCounts {
        &self.conn_memory
    }

    /// The limits by address, which are checked before the scopes.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The requests that wait for room.
    #[inline]
    pub fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub fn lending(&self) -> &Lending<Self> {
        &self.lending
    }

    /// The usage of a node, credit left out.
    pub fn stat(&self, node: &Node) -> ScopeStat {
        self.lending().stat(node)
    }

    pub fn versions(&self) -> &CurrentVersion {
        &self.versions
    }

    pub fn system(&self) -> &Arc<Node> {
        &self.system
    }

    pub fn transient(&self) -> &Arc<Node> {
        &self.transient
    }

    pub fn allowlisted_system(&self) -> &Arc<Node> {
        &self.allowlisted_system
    }

    pub fn allowlisted_transient(&self) -> &Arc<Node> {
        &self.allowlisted_transient
    }

    /// The part of the allowlisted transient scope for connections whose peer is not proven.
    pub fn unproven(&self) -> &Unproven {
        &self.unproven
    }

    /// Peers by id, with the paths of leaves with a peer and nothing else.
    pub fn peers(&self) -> &Peers<Self> {
        &self.peers
    }

    pub fn refused_peers(&self) -> &RefusedPeers {
        &self.refused_peers
    }

    pub fn class_refusals(&self) -> &ClassRefusals {
        &self.refusals
    }

    pub fn dry_run(&self) -> &DryRun {
        &self.dry_run
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn past_refusers(&self) -> &PastRefusers {
        &self.past_refusers
    }

    /// Counts a release of more than the scope held, and logs it.
    pub fn count_over_release(&self, scope: &ScopeName, asked: u64, held: u64) {
        self.over_releases.count(scope, asked, held, &*self.clock);
    }

    pub fn over_releases(&self, class: ScopeClass) -> u64 {
        self.over_releases.of(class)
    }

    pub fn close(&self) {
        // SeqCst, here and below: in one order with requests that begin to wait. Open scopes
        // proceed, so nothing else is published through the flag.
        self.closed.store(true, Ordering::SeqCst);
        self.waiters.wake_all();
    }

    /// # Errors
    ///
    /// [`Error::ScopeClosed`] after `close`.
    #[inline]
    pub fn check_open(&self) -> Result<()> {
        if !self.is_open() {
            return Err(Error::ScopeClosed {
                scope: ScopeId::System.into(),
            });
        }
        Ok(())
    }

    #[inline]
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
