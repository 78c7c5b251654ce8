//! A dry run: limits that are evaluated and not enforced.
//!
//! Each request that was granted is evaluated afterwards: with the usage that includes it, in the
//! order in which the scopes were asked. The first scope whose limit in the dry run is exceeded
//! would have refused the request, and counts that. So nothing is counted unless the usage was over
//! a limit of the dry run at a moment between the grant and the evaluation.
//!
//! Without a dry run this costs a pointer in each node, and one branch where nodes are charged. With
//! one there is no prepaid credit: a grant that credit paid for would not be evaluated.

use std::sync::Arc;

use rcmgr_core::{Clock, Limit, LimitValue, Limits, Resource, ScopeStat};

use crate::counters::{ClassRefusals, Slot};
use crate::limits::{Addresses, BarePermit};
use crate::sync::{AtomicBool, Ordering, Published};

/// The state of the dry run of an engine.
pub struct DryRun {
    is_on: AtomicBool,
    /// Whether new leaves are recorded or evaluated: one flag, so that they are opened with one
    /// branch.
    is_observed: AtomicBool,
    has_recorder: bool,
    refusals: ClassRefusals,
    /// The limits by address of the dry run, if there is one.
    addresses: Published<Option<Arc<Addresses>>>,
}

impl DryRun {
    /// The dry run of these limits, or none.
    pub fn new(limits: &Limits, clock: &Arc<dyn Clock>) -> Self {
        Self {
            is_on: AtomicBool::new(limits.dry_run.is_some()),
            is_observed: AtomicBool::new(limits.dry_run.is_some()),
            has_recorder: false,
            refusals: ClassRefusals::new(),
            addresses: Published::new(new_addresses(limits, clock)),
        }
    }

    #[inline]
    pub fn is_on(&self) -> bool {
        // Relaxed: a request that is granted while limits change may be evaluated or not.
        self.is_on.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn is_observed(&self) -> bool {
        // Relaxed: as in `is_on`.
        self.is_observed.load(Ordering::Relaxed)
    }

    /// The same, for an engine with a recorder.
    pub fn with_recorder(self) -> Self {
        Self {
            is_observed: AtomicBool::new(true),
            has_recorder: true,
            ..self
        }
    }

    pub fn refusals(&self) -> &ClassRefusals {
        &self.refusals
    }

    /// The limits by address, if there is a dry run.
    pub fn addresses(&self) -> Option<Arc<Addresses>> {
        self.addresses.with(Clone::clone)
    }

    /// The limits by address that the dry run of these limits uses: those in use, or new ones. It
    /// reads the clock, which is code of the user, so it is called before anything changes.
    pub fn addresses_for(&self, limits: &Limits, clock: &Arc<dyn Clock>) -> Option<Arc<Addresses>> {
        let in_use = self.addresses().filter(|_| limits.dry_run.is_some());
        in_use.or_else(|| new_addresses(limits, clock))
    }

    /// Switches the dry run on, over or off. `addresses` are those [for](Self::addresses_for) these
    /// limits. Only one thread at a time may call this.
    pub fn set(&self, limits: &Limits, addresses: &Option<Arc<Addresses>>) {
        if let (Some(dry_run), Some(addresses)) = (&limits.dry_run, addresses) {
            let conns = dry_run.allowlisted_system.conns;
            addresses.set(dry_run.addresses.clone(), conns);
        }
        self.addresses.set(addresses.clone());
        let is_on = limits.dry_run.is_some();
        self.is_on.store(is_on, Ordering::Relaxed);
        let is_observed = is_on || self.has_recorder;
        self.is_observed.store(is_observed, Ordering::Relaxed);
    }
}

/// These limits, without the dry run that their dry run has. It has no effect, and it would keep
/// memory: if each reload evaluates the limits that were in force before, it has a dry run of its
/// own, and so on.
pub fn with_flat_dry_run(mut limits: Limits) -> Limits {
    let dry_run = limits.dry_run.as_mut();
    if let Some(dry_run) = dry_run.filter(|dry_run| dry_run.dry_run.is_some()) {
        Arc::make_mut(dry_run).dry_run = None;
    }
    limits
}

fn new_addresses(limits: &Limits, clock: &Arc<dyn Clock>) -> Option<Arc<Addresses>> {
    let dry_run = limits.dry_run.as_ref()?;
    let conns = dry_run.allowlisted_system.conns;
    let addresses = Addresses::new(dry_run.addresses.clone(), conns, clock.clone());
    Some(Arc::new(addresses))
}

/// The place of a connection in the counts of a dry run by address. Dropping it gives it back.
pub struct DryRunPermit {
    addresses: Arc<Addresses>,
    permit: BarePermit,
}

impl DryRunPermit {
    pub fn new(addresses: Arc<Addresses>, permit: BarePermit) -> Self {
        Self { addresses, permit }
    }

    /// Only the first call has an effect.
    pub fn give_back(&self) {
        self.addresses.give_back(&self.permit);
    }
}

impl Drop for DryRunPermit {
    fn drop(&mut self) {
        self.addresses.give_back_last(&mut self.permit);
    }
}

/// A request that was granted.
#[derive(Debug, Clone, Copy)]
pub struct Granted {
    /// What each scope was asked for.
    amount: ScopeStat,
    slot: Option<Slot>,
    asked: Asked,
    /// The level of the priority.
    level: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// A stream or a connection.
    Slot,
    Memory,
    /// All that a leaf holds. Memory and the totals are checked even if it holds none.
    Everything,
}

impl Granted {
    /// A new leaf.
    pub fn new_leaf(slot: Slot) -> Self {
        Self {
            amount: slot.stat(0),
            slot: Some(slot),
            asked: Asked::Slot,
            level: u8::MAX,
        }
    }

    pub fn memory(size: u64, level: u8) -> Self {
        let amount = ScopeStat {
            memory: size,
            ..ScopeStat::ZERO
        };
        Self {
            amount,
            slot: None,
            asked: Asked::Memory,
            level,
        }
    }

    /// The move of a leaf to more scopes.
    pub fn moved(slot: Slot, memory: u64) -> Self {
        Self {
            amount: slot.stat(memory),
            slot: Some(slot),
            asked: Asked::Everything,
            level: u8::MAX,
        }
    }

    /// What each scope was asked for.
    pub fn amount(&self) -> &ScopeStat {
        &self.amount
    }

    /// Whether a scope with this limit would have refused its memory. `used` includes it.
    pub fn memory_refused_by(&self, limit: LimitValue, used: u64) -> bool {
        let LimitValue::Limited(limit) = limit else {
            return false;
        };
        // A low priority may use only a part of the limit.
        let part = (u128::from(self.level) + 1) * u128::from(limit) / 256;
        u128::from(used) > part
    }

    /// The resource for which a scope with this limit would have refused. `used` includes the
    /// request. The order is that of the checks of nodes.
    pub fn refused_by(&self, limit: &Limit, used: &ScopeStat) -> Option<Resource> {
        if self.asked != Asked::Slot && self.memory_refused_by(limit.memory, used.memory) {
            return Some(Resource::Memory);
        }
        const IN_ORDER: [Resource; 7] = [
            Resource::StreamsInbound,
            Resource::StreamsOutbound,
            Resource::Streams,
            Resource::ConnsInbound,
            Resource::ConnsOutbound,
            Resource::Conns,
            Resource::Fd,
        ];
        IN_ORDER.into_iter().find(|&resource| {
            let is_total = matches!(resource, Resource::Streams | Resource::Conns);
            let is_checked =
                self.amount.get(resource) > 0 || (is_total && self.asked == Asked::Everything);
            is_checked && !limit.get(resource).allows(used.get(resource))
        })
    }

    /// The slot under which a refusal for this resource is counted.
    pub fn slot_for(&self, resource: Resource) -> Option<Slot> {
        // Only a total was checked, or memory, which has no direction.
        let is_about_slot = resource != Resource::Memory && self.amount.get(resource) > 0;
        self.slot.filter(|_| is_about_slot)
    }
}
