//! Limits on the number of open connections by remote address.
//!
//! How it works: every subnet, and every limited network, with open connections has a count, in one
//! of a few dozen shards, each behind its own lock. Opening locks the shards of all subnets of the
//! address, in the order of their indices against deadlock; then it checks all counts, and
//! increments all of them. Closing locks the same way. The operations are therefore linearizable. A
//! count that falls to zero is removed.

use std::array;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::MutexGuard;

use rcmgr_core::address::canonical_network;
use rcmgr_core::{Result, SubnetLimitExceeded};

use crate::SubnetLimits;
use crate::bare_permit::{BarePermit, Subnets};
use crate::most_refused::MostRefused;
use crate::rules::{Applicable, Canonical, Listed, MAX_SIZES, Rule, Rules};
use crate::shards::{Hashed, SHARDS, Shards, mostly_empty};
use crate::subnet::{Address, Subnet};

/// Limits the number of open connections of a remote address and of the subnets that contain it.
///
/// Counts are exact under concurrency: there are never more permits than a limit allows, and a
/// permit that was returned never causes a later refusal.
///
/// ```
/// use std::net::IpAddr;
/// use std::sync::Arc;
/// use rcmgr_address::{SubnetLimiter, SubnetLimits};
///
/// let limiter = Arc::new(SubnetLimiter::new(SubnetLimits::reference_defaults())?);
/// let ip: IpAddr = "192.0.2.7".parse()?;
///
/// let mut permits = (0..8).map(|_| limiter.open(ip)).collect::<Result<Vec<_>, _>>()?;
/// assert!(limiter.open(ip).is_err());
///
/// permits.pop();
/// assert!(limiter.open(ip).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SubnetLimiter {
    hasher: RandomState,
    shards: Shards<Counts>,
    active: ArcSwap<Active>,
}

/// The limits as they were set, and in the form that lookups use.
#[derive(Debug)]
pub(crate) struct Active {
    limits: SubnetLimits,
    rules: Rules<u64>,
}

impl Active {
    /// Limits that were checked.
    pub(crate) fn new(limits: SubnetLimits, canonical: Canonical<'_>) -> Self {
        let rules = Rules::new(Listed::of_limits(&limits), canonical, |_, conns| conns);
        Self { limits, rules }
    }

    /// The form that lookups use.
    #[inline]
    pub(crate) const fn rules(&self) -> &Rules<u64> {
        &self.rules
    }
}

/// The open connections of one shard.
#[derive(Debug)]
struct Counts {
    counts: HashTable<Count>,
    /// The number of permits whose most specific subnet is in this shard.
    permits: u64,
    refused: u64,
    most_refused: MostRefused,
}

/// The number of open connections of a subnet.
#[derive(Debug)]
struct Count {
    subnet: Hashed,
    /// Never zero.
    open: u64,
}

impl Counts {
    #[inline]
    fn entry(&mut self, subnet: Hashed) -> Entry<'_, Count> {
        let same = move |count: &Count| count.subnet.subnet == subnet.subnet;
        self.counts
            .entry(subnet.hash, same, |count| count.subnet.hash)
    }

    /// The number of open connections of the subnet.
    #[inline]
    fn used(&self, subnet: Hashed) -> u64 {
        let same = move |count: &Count| count.subnet.subnet == subnet.subnet;
        let count = self.counts.find(subnet.hash, same);
        count.map_or(0, |count| count.open)
    }

    /// Refuses if the subnet has reached its limit.
    #[inline]
    fn check(
        &mut self,
        address: Address,
        subnet: Hashed,
        limit: u64,
    ) -> Result<(), SubnetLimitExceeded> {
        let used = self.used(subnet);
        if used < limit {
            return Ok(());
        }
        Err(self.refuse(address, subnet, used, limit))
    }

    #[cold]
    fn refuse(
        &mut self,
        address: Address,
        subnet: Hashed,
        used: u64,
        limit: u64,
    ) -> SubnetLimitExceeded {
        self.refused += 1;
        self.most_refused.count(subnet.subnet);
        SubnetLimitExceeded {
            ip: address.into(),
            network: subnet.subnet.into(),
            used,
            limit,
        }
    }

    #[inline]
    fn add(&mut self, subnet: Hashed) {
        match self.entry(subnet) {
            Entry::Occupied(mut count) => count.get_mut().open += 1,
            Entry::Vacant(vacant) => drop(vacant.insert(Count { subnet, open: 1 })),
        }
    }

    /// Checks and increments with one lookup.
    #[inline(always)]
    fn try_add(
        &mut self,
        address: Address,
        subnet: Hashed,
        limit: u64,
    ) -> Result<(), SubnetLimitExceeded> {
        // Looking up a vacant entry may allocate, which a refusal must not do.
        if limit == 0 {
            return self.check(address, subnet, limit);
        }
        match self.entry(subnet) {
            Entry::Occupied(mut count) => {
                let used = count.get().open;
                if used >= limit {
                    return Err(self.refuse(address, subnet, used, limit));
                }
                count.get_mut().open += 1;
            }
            Entry::Vacant(vacant) => drop(vacant.insert(Count { subnet, open: 1 })),
        }
        Ok(())
    }

    #[inline]
    fn remove(&mut self, subnet: Hashed) {
        let Entry::Occupied(mut count) = self.entry(subnet) else {
            return;
        };
        count.get_mut().open -= 1;
        if count.get().open == 0 {
            // The map shrinks after a flood.
            count.remove();
            let (capacity, len) = (self.counts.capacity(), self.counts.len());
            if mostly_empty(capacity, len) {
                self.counts.shrink_to(2 * len, |count| count.subnet.hash);
            }
        }
    }
}

impl SubnetLimiter {
    /// A limiter without open connections.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration) if the limits are not valid, see
    /// [`SubnetLimits`].
    pub fn new(limits: SubnetLimits) -> Result<Self> {
        limits.check()?;
        let active = Active::new(limits, &canonical_network);
        Ok(Self::of_checked(active, RandomState::new()))
    }

    /// A limiter with limits that were checked.
    pub(crate) fn of_checked(active: Active, hasher: RandomState) -> Self {
        Self {
            hasher,
            shards: Shards::new(SHARDS, || Counts {
                counts: HashTable::new(),
                permits: 0,
                refused: 0,
                most_refused: MostRefused::new(),
            }),
            active: ArcSwap::from_pointee(active),
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> SubnetLimits {
        self.active.load().limits.clone()
    }

    /// Replaces the limits for connections opened from now on. No open connection is closed.
    ///
    /// A permit is always returned to the subnets that it was counted in. A subnet or network that
    /// was limited before, and still is, keeps its count; if it is over its new limit, it refuses
    /// until it is below. A size or network that is new in the limits counts only connections
    /// opened from now on.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration) if the limits are not valid, see
    /// [`SubnetLimits`]; then nothing has changed.
    pub fn set_limits(&self, limits: SubnetLimits) -> Result<()> {
        limits.check()?;
        self.set(Arc::new(Active::new(limits, &canonical_network)));
        Ok(())
    }

    pub(crate) fn set(&self, active: Arc<Active>) {
        self.active.store(active);
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    pub(crate) fn open_bare(&self, ip: IpAddr) -> Result<BarePermit, SubnetLimitExceeded> {
        let active = self.active.load();
        let address = ip.into();
        self.open_by(active.rules.applicable(address), address, None)
    }

    /// Takes a permit for a connection with this address, under the rules that apply to it. `known`
    /// is a subnet of the address that is already hashed, if any; its hash is reused if the size
    /// matches.
    #[inline(always)]
    pub(crate) fn open_by(
        &self,
        applicable: Applicable<'_, u64>,
        address: Address,
        known: Option<Hashed>,
    ) -> Result<BarePermit, SubnetLimitExceeded> {
        // Without a rule the address is unlimited.
        let rules = applicable.rules;
        let [first, wider @ ..] = rules else {
            return Ok(BarePermit::none());
        };

        // Check the most specific subnet first: in a flood it refuses, and only its shard is
        // locked.
        let subnet = match known {
            Some(known) if known.subnet.len() == first.len => known,
            _ => Hashed::new(Subnet::containing(address, first.len), &self.hasher),
        };
        let mut counts = self.shards.lock(subnet.shard());
        // Only one subnet: count it under the same lock.
        if wider.is_empty() {
            counts.try_add(address, subnet, first.value)?;
            counts.permits += 1;
            return Ok(BarePermit::new(Subnets::one(subnet)));
        }
        // Several subnets: unlock, because their shards must be locked in order.
        counts.check(address, subnet, first.value)?;
        drop(counts);
        self.open_in_all(rules, address, subnet)
    }

    /// Counts the address in all its subnets, or in none.
    #[inline(never)]
    fn open_in_all(
        &self,
        rules: &[Rule<u64>],
        address: Address,
        first: Hashed,
    ) -> Result<BarePermit, SubnetLimitExceeded> {
        let subnets = subnets(rules, address, first);
        // Check all before counting in any. The first is checked again: its lock was released.
        let mut locked = self.lock(&subnets);
        for (at, rule) in rules.iter().enumerate() {
            let (subnet, counts) = locked.counts(at);
            counts.check(address, subnet, rule.value)?;
        }
        locked.count(rules.len());
        Ok(BarePermit::new(subnets))
    }

    /// Counts the address in all its subnets, also where a limit is reached, and returns the
    /// refusal of the first such limit. The refusal is counted only if `counts_refusal`.
    pub(crate) fn evaluate(
        &self,
        applicable: Applicable<'_, u64>,
        address: Address,
        counts_refusal: bool,
    ) -> (BarePermit, Option<SubnetLimitExceeded>) {
        let rules = applicable.rules;
        let [first, ..] = rules else {
            return (BarePermit::none(), None);
        };
        let first = Hashed::new(Subnet::containing(address, first.len), &self.hasher);
        let subnets = subnets(rules, address, first);
        let mut locked = self.lock(&subnets);
        let mut refusal = None;
        if counts_refusal {
            refusal = rules.iter().enumerate().find_map(|(at, rule)| {
                let (subnet, counts) = locked.counts(at);
                counts.check(address, subnet, rule.value).err()
            });
        }
        locked.count(rules.len());
        (BarePermit::new(subnets), refusal)
    }

    #[inline]
    pub(crate) fn give_back(&self, permit: &BarePermit) {
        if let Some(subnets) = permit.take() {
            self.decrement(subnets);
        }
    }

    #[inline]
    pub(crate) fn give_back_last(&self, permit: &mut BarePermit) {
        if let Some(subnets) = permit.take_last() {
            self.decrement(subnets);
        }
    }

    #[inline]
    fn decrement(&self, subnets: Subnets) {
        let Some(subnet) = subnets.single() else {
            return self.decrement_in_all(subnets);
        };
        let mut counts = self.shards.lock(subnet.shard());
        counts.remove(subnet);
        counts.permits -= 1;
    }

    /// Under all locks at once: a thread that finds room in one subnet must find it in the others
    /// too.
    #[inline(never)]
    fn decrement_in_all(&self, subnets: Subnets) {
        let mut locked = self.lock(&subnets);
        for at in 0..subnets.len() {
            let (subnet, counts) = locked.counts(at);
            counts.remove(subnet);
        }
        locked.counts(0).1.permits -= 1;
    }

    #[inline(always)]
    fn lock(&self, subnets: &Subnets) -> Locked<'_> {
        Locked::new(&self.shards, subnets, &self.hasher)
    }

    /// Calls `count` with the subnets that were refused most, and how often they were.
    pub(crate) fn most_refused(&self, mut count: impl FnMut(Subnet, u64)) {
        self.shards.each(|counts| {
            let refused = counts.most_refused.iter();
            refused.for_each(|(subnet, refused)| count(subnet, refused));
        });
    }

    /// The number of permits held, without those of unlimited addresses. Shards are read one after
    /// the other, so while the limiter is in use the sum mixes slightly different moments.
    pub fn permits(&self) -> u64 {
        self.shards.sum(|counts| counts.permits)
    }

    /// The number of subnets and networks that have a count; zero when no permit is held.
    pub fn tracked(&self) -> u64 {
        self.shards.sum(|counts| counts.counts.len() as u64)
    }

    /// The number of connections refused so far.
    pub fn refused(&self) -> u64 {
        self.shards.sum(|counts| counts.refused)
    }
}

/// The subnets of an address that these rules limit. The first is hashed already.
fn subnets(rules: &[Rule<u64>], address: Address, first: Hashed) -> Subnets {
    let mut subnets = Subnets::one(first);
    for rule in &rules[1..] {
        subnets.push(Subnet::containing(address, rule.len));
    }
    subnets
}

/// The locked shards of some subnets. Each shard is locked once.
struct Locked<'a> {
    subnets: [Hashed; MAX_SIZES],
    /// A shard's guard is at the index of its first subnet.
    guards: [Option<MutexGuard<'a, Counts>>; MAX_SIZES],
}

impl<'a> Locked<'a> {
    #[inline(always)]
    fn new(shards: &'a Shards<Counts>, given: &Subnets, hasher: &RandomState) -> Self {
        let mut locked = Self {
            subnets: [Hashed::ALL; MAX_SIZES],
            guards: array::from_fn(|_| None),
        };
        // Hash the subnets first: the shard follows from the hash.
        let subnets = &mut locked.subnets[..given.len()];
        for (subnet, hashed) in subnets.iter_mut().zip(given.hashed(hasher)) {
            *subnet = hashed;
        }
        // Lock each shard once, in ascending order: each round finds the lowest shard that is not
        // locked yet.
        let mut from = 0;
        let after = |from| {
            let shards = subnets.iter().map(Hashed::shard).zip(0..);
            shards.filter(|&(shard, _)| shard >= from).min()
        };
        while let Some((shard, at)) = after(from) {
            locked.guards[at] = Some(shards.lock(shard));
            from = shard + 1;
        }
        locked
    }

    /// Counts a connection in the first `len` subnets.
    fn count(&mut self, len: usize) {
        for at in 0..len {
            let (subnet, counts) = self.counts(at);
            counts.add(subnet);
        }
        self.counts(0).1.permits += 1;
    }

    /// The subnet at this index, and the counts of its shard.
    #[inline]
    fn counts(&mut self, at: usize) -> (Hashed, &mut Counts) {
        let subnet = self.subnets[at];
        let same = |other: &Hashed| other.shard() == subnet.shard();
        let guard = self.subnets.iter().position(same);
        let counts = guard.and_then(|guard| self.guards[guard].as_mut());
        (subnet, counts.expect("the shard of each subnet is locked"))
    }
}
