//! A sequential model of a resource manager: plain, obvious and slow. It is the oracle for the
//! engines.
//!
//! A scope is a name and its usage in a map. A reservation checks every scope in order and then adds
//! to all of them. The model shares nothing with the engines but the vocabulary of `rcmgr-core`.
//! It does not know how deep spans may be nested.

mod addresses;
mod alone;
mod attaching;
mod charging;
mod dry_run;
mod leaf;
mod looking;
mod memory;
mod opening;
mod request;
mod scopes;
mod target;
mod unproven;
mod waiting;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use rcmgr_address::AddressConfig;
use rcmgr_core::{
    Error, Limit, Limits, Refusals, Result, ScopeClass, ScopeId, ScopeName, ScopeStat,
};

use crate::usage::{Usage, usage};
use crate::{On, Op, Remote};
use addresses::Addresses;
use dry_run::DryRun;
use leaf::Leaf;
use target::Target;
use waits::Waits;

/// The model. It performs what a [`Session`](crate::Session) performs, with the same results.
///
/// It numbers leaves and spans in the order in which they are opened. An engine that numbers them
/// when they are named first has the same numbers if every new handle is asked for its name.
#[derive(Debug, Clone)]
pub struct Model {
    limits: Limits,
    /// Limits that were set on single scopes.
    overrides: BTreeMap<ScopeId, Limit>,
    usage: BTreeMap<ScopeId, ScopeStat>,
    peaks: BTreeMap<ScopeId, ScopeStat>,
    /// Memory that was reserved on a shared scope itself.
    direct: BTreeMap<ScopeId, u64>,
    /// The number of the last span of a shared scope.
    last_span: BTreeMap<ScopeId, u32>,
    services: BTreeSet<ScopeId>,
    /// All that was ever opened.
    holders: Vec<Holder>,
    /// Which holder is in which slot.
    slots: Vec<Option<usize>>,
    /// The numbers of the last connection and of the last stream.
    last_leaf: [u64; 2],
    refusals: BTreeMap<ScopeClass, Refusals>,
    over_releases: BTreeMap<ScopeClass, u64>,
    closed: bool,
    addresses: Addresses,
    dry_run: DryRun,
    waits: Waits,
}

/// A connection, a stream or a span.
#[derive(Debug, Clone)]
struct Holder {
    kind: HolderKind,
    /// All memory that it holds, with its spans'.
    memory: u64,
    /// The memory that was reserved on it.
    own: u64,
    closed: bool,
    own_limit: Option<Limit>,
    /// The number of its last span.
    last_span: u32,
}

#[derive(Debug, Clone)]
enum HolderKind {
    Leaf(Leaf),
    Span { owner: Target, number: u32 },
}

impl Holder {
    fn new(kind: HolderKind) -> Self {
        Self {
            kind,
            memory: 0,
            own: 0,
            closed: false,
            own_limit: None,
            last_span: 0,
        }
    }
}

/// What the model knows of a handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandleFacts {
    /// What it uses.
    pub stat: ScopeStat,
    /// Its name.
    pub name: ScopeName,
    /// Its limit, while it and all its owners are open.
    pub limit: Option<Limit>,
}

impl Model {
    /// A model with this many slots for handles.
    pub fn new(limits: Limits, addresses: &AddressConfig, slots: usize) -> Self {
        let mut dry_run = DryRun::default();
        dry_run.set(&limits);
        Self {
            dry_run,
            addresses: Addresses::new(addresses, limits.allowlisted_system.conns),
            limits,
            overrides: BTreeMap::new(),
            usage: BTreeMap::new(),
            peaks: BTreeMap::new(),
            direct: BTreeMap::new(),
            last_span: BTreeMap::new(),
            services: BTreeSet::new(),
            holders: Vec::new(),
            slots: vec![None; slots],
            last_leaf: [0; 2],
            refusals: BTreeMap::new(),
            over_releases: BTreeMap::new(),
            closed: false,
            waits: Waits::default(),
        }
    }

    /// Performs an operation.
    ///
    /// # Errors
    ///
    /// What a manager has to answer.
    pub fn perform(&mut self, op: &Op) -> Result<()> {
        let done = self.apply(op);
        self.settle();
        done
    }

    fn apply(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::OpenConnection {
                slot,
                direction,
                uses_fd,
                endpoint,
            } => {
                let opened = self.open_connection(*direction, *uses_fd, endpoint)?;
                self.put(*slot, opened);
            }
            Op::OpenStream {
                slot,
                remote,
                direction,
                protocol,
                service,
            } => {
                let protocol = protocol.as_ref();
                let service = service.as_ref().filter(|_| protocol.is_some());
                let opened = match remote {
                    Remote::Peer(peer) => self.open_stream(*peer, *direction, protocol, service)?,
                    Remote::Connection(through) => {
                        let Some(connection) = self.next_leaf(*through, Leaf::is_connection) else {
                            return Ok(());
                        };
                        self.open_stream_through(connection, *direction, protocol, service)?
                    }
                };
                self.put(*slot, opened);
            }
            Op::BeginSpan { slot, on } => {
                if let Some(owner) = self.target(on) {
                    let begun = self.begin_span(owner)?;
                    self.put(*slot, begun);
                }
            }
            Op::SetPeer(slot, peer) => {
                if let Some(connection) = self.next_leaf(*slot, Leaf::is_connection) {
                    self.set_peer(connection, *peer)?;
                }
            }
            Op::SetProtocol(slot, protocol) => {
                if let Some(stream) = self.next_leaf(*slot, Leaf::is_stream) {
                    self.set_protocol(stream, protocol)?;
                }
            }
            Op::SetService(slot, service) => {
                if let Some(leaf) = self.next_leaf(*slot, |_| true) {
                    self.set_service(leaf, service)?;
                }
            }
            Op::Reserve(on, size, priority) => {
                if let Some(target) = self.target(on) {
                    self.reserve(&target, *size, *priority)?;
                }
            }
            Op::Hold(on, size, priority) => {
                if let Some(target) = self.target(on) {
                    self.reserve(&target, *size, *priority)?;
                    self.note_peaks();
                    self.release(&target, *size);
                }
            }
            Op::Release(on, size) => {
                if let Some(target) = self.target(on) {
                    self.release(&target, *size);
                }
            }
            Op::ReleaseAll(on) => {
                if let Some(target) = self.target(on) {
                    self.release_own(&target, u64::MAX);
                }
            }
            Op::Done(slot) => {
                if let Some(slot) = self.next_slot(*slot) {
                    self.done(self.slots[slot].expect("the slot is taken"));
                }
            }
            Op::Drop(slot) => {
                if let Some(slot) = self.next_slot(*slot) {
                    let dropped = self.slots[slot].take();
                    self.done(dropped.expect("the slot is taken"));
                }
            }
            Op::SetLimit(on, limit) => {
                if let Some(target) = self.target(on) {
                    self.set_limit(&target, *limit);
                }
            }
            Op::SetLimits(limits) => self.set_limits(Limits::clone(limits)),
            Op::Close => self.closed = true,
        }
        Ok(())
    }

    /// What is known of the handle in exactly this slot.
    pub fn handle(&self, slot: usize) -> Option<HandleFacts> {
        let target = Target::Holder(self.slots[slot]?);
        let mut chain = self.chain(&target).into_iter();
        let is_open = chain.all(|at| !self.holders[at].closed);
        Some(HandleFacts {
            stat: self.stat(&target),
            name: self.name(&target),
            limit: is_open.then(|| self.limit_of(&target)),
        })
    }

    /// The limit of a shared scope.
    pub fn limit(&self, id: &ScopeId) -> Limit {
        self.limit_of(&Target::Scope(id.clone()))
    }

    /// How many connections have a permit in the subnet of their address.
    pub const fn permits(&self) -> u64 {
        self.addresses.permits()
    }

    /// How often scopes of this class refused.
    pub fn refusals(&self, class: ScopeClass) -> Refusals {
        self.refusals.get(&class).copied().unwrap_or_default()
    }

    /// How often more was released on a scope of this class than it held.
    pub fn over_releases(&self, class: ScopeClass) -> u64 {
        self.over_releases.get(&class).copied().unwrap_or_default()
    }

    /// What every scope uses: shared scopes by name, handles as `#SLOT`.
    pub fn usage(&self) -> BTreeMap<String, Usage> {
        let shared = self.scopes().into_iter();
        let shared = shared.map(|(id, (stat, _))| (id.to_string(), usage(&stat)));
        let taken = (0..self.slots.len()).filter_map(|slot| Some((slot, self.slots[slot]?)));
        let handles = taken.map(|(slot, at)| {
            let stat = self.stat(&Target::Holder(at));
            (format!("#{slot}"), usage(&stat))
        });
        shared.chain(handles).collect()
    }

    // Slots.

    /// The first slot at or after this one that has a handle.
    fn next_slot(&self, first: usize) -> Option<usize> {
        let slots = self.slots.len();
        let mut from_first = (0..slots).map(|step| (first % slots + step) % slots);
        from_first.find(|&slot| self.slots[slot].is_some())
    }

    fn next_holder(&self, slot: usize) -> Option<usize> {
        self.slots[self.next_slot(slot)?]
    }

    /// The next handle, if it is a leaf of this kind.
    fn next_leaf(&self, slot: usize, is_kind: impl Fn(&Leaf) -> bool) -> Option<usize> {
        let at = self.next_holder(slot)?;
        self.leaf(at).filter(|leaf| is_kind(leaf)).map(|_| at)
    }

    fn put(&mut self, slot: usize, holder: usize) {
        let slot = slot % self.slots.len();
        self.note_peaks();
        if let Some(replaced) = self.slots[slot].replace(holder) {
            self.done(replaced);
        }
    }

    /// The scope of an operation. A service exists from the first view of it on.
    fn target(&mut self, on: &On) -> Option<Target> {
        match on {
            On::Scope(id) => {
                if matches!(id, ScopeId::Service(_)) {
                    self.services.insert(id.clone());
                }
                Some(Target::Scope(id.clone()))
            }
            On::Handle(slot) => self.next_holder(*slot).map(Target::Holder),
        }
    }
}

/// The error of a manager that is closed.
fn manager_closed() -> Error {
    let scope = ScopeId::System.into();
    Error::ScopeClosed { scope }
}
