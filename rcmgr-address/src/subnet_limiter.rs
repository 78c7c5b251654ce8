//! How it works: for every subnet (and limited network) with open connections there is a count, in
//! one of a few dozen maps, each behind its lock. Opening locks the maps of all the address's
//! subnets, in the order of their indices so that nobody waits in a circle, checks all, and counts
//! in all; closing does the same. So every answer is the one that some order of the calls, one
//! after the other, would give. A count that falls to zero leaves its map.

use std::array;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::MutexGuard;

use rcmgr_core::{Result, SubnetLimitExceeded};

use crate::bare_permit::{BarePermit, Subnets};
use crate::rules::{MAX_SIZES, Rule, Rules};
use crate::shards::{Hashed, Shards, mostly_empty};
use crate::subnet::{Address, Subnet};
use crate::subnet_limits::SubnetLimits;

/// Limits how many connections a remote address, and the subnets around it, have open.
///
/// Counts are exact under concurrency: there are never more permits than a limit allows, and nobody
/// is refused because of one that was given back before.
///
/// ```
/// use std::net::IpAddr;
/// use std::sync::Arc;
/// use rcmgr_address::{SubnetLimiter, SubnetLimits};
///
/// let limiter = Arc::new(SubnetLimiter::new(SubnetLimits::default())?);
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

/// The limits as they were given, and as they are looked up.
#[derive(Debug)]
pub(crate) struct Active {
    limits: SubnetLimits,
    rules: Rules<u64>,
}

impl Active {
    fn new(limits: SubnetLimits) -> Result<Self> {
        let rules = Rules::new(limits.listed(), |_, conns| conns)?;
        Ok(Self { limits, rules })
    }
}

/// One shard's open connections.
#[derive(Debug)]
struct Counts {
    counts: HashTable<Count>,
    /// How many permits there are whose most specific subnet is counted here.
    permits: u64,
    refused: u64,
}

/// How many connections a subnet has.
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

    #[inline]
    fn check(
        &mut self,
        address: Address,
        subnet: Hashed,
        limit: u64,
    ) -> Result<(), SubnetLimitExceeded> {
        let same = move |count: &Count| count.subnet.subnet == subnet.subnet;
        let count = self.counts.find(subnet.hash, same);
        let used = count.map_or(0, |count| count.open);
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

    /// Checks and adds at once.
    #[inline]
    fn try_add(
        &mut self,
        address: Address,
        subnet: Hashed,
        limit: u64,
    ) -> Result<(), SubnetLimitExceeded> {
        // An entry that is not there yet makes room for itself, which a refusal must not.
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
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration), as [`SubnetLimits`] tells.
    pub fn new(limits: SubnetLimits) -> Result<Self> {
        Self::with_hasher(limits, RandomState::new())
    }

    pub(crate) fn with_hasher(limits: SubnetLimits, hasher: RandomState) -> Result<Self> {
        Ok(Self {
            hasher,
            shards: Shards::new(|| Counts {
                counts: HashTable::new(),
                permits: 0,
                refused: 0,
            }),
            active: ArcSwap::from_pointee(Active::new(limits)?),
        })
    }

    /// The limits in force.
    pub fn limits(&self) -> SubnetLimits {
        self.active.load().limits.clone()
    }

    /// Puts other limits in force, for what is opened from now on; nothing is evicted.
    ///
    /// Every permit is given back where it was counted when it was opened. A subnet or network that
    /// was limited before and still is keeps its count, and one that is over its new limit refuses
    /// until it is below. A size or network that is new counts the connections opened from now on:
    /// those that are open already count nowhere that they did not count before.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration), as [`SubnetLimits`] tells; then nothing has
    /// changed.
    pub fn set_limits(&self, limits: SubnetLimits) -> Result<()> {
        self.active.store(Arc::new(Active::new(limits)?));
        Ok(())
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    pub(crate) fn open_bare(&self, ip: IpAddr) -> Result<BarePermit, SubnetLimitExceeded> {
        self.open_by(&self.active.load(), ip.into(), None)
    }

    /// Takes a permit for a connection with this address, by these limits. If a subnet around it was
    /// hashed already, that may be of use.
    #[inline(always)]
    pub(crate) fn open_by(
        &self,
        active: &Active,
        address: Address,
        known: Option<Hashed>,
    ) -> Result<BarePermit, SubnetLimitExceeded> {
        let rules = active.rules.applying(address).rules;
        let [first, wider @ ..] = rules else {
            return Ok(BarePermit::none());
        };

        // A flood ends here: one lock, and the others are left alone.
        let subnet = match known {
            Some(known) if known.subnet.len() == first.len => known,
            _ => Hashed::new(Subnet::around(address, first.len), &self.hasher),
        };
        let mut counts = self.shards.lock(subnet.shard());
        if wider.is_empty() {
            counts.try_add(address, subnet, first.value)?;
            counts.permits += 1;
            return Ok(BarePermit::new(Subnets::one(subnet)));
        }
        counts.check(address, subnet, first.value)?;
        drop(counts);
        self.open_in_all(rules, address, subnet)
    }

    #[inline(never)]
    fn open_in_all(
        &self,
        rules: &[Rule<u64>],
        address: Address,
        first: Hashed,
    ) -> Result<BarePermit, SubnetLimitExceeded> {
        let mut subnets = Subnets::one(first);
        for rule in &rules[1..] {
            subnets.push(Subnet::around(address, rule.len));
        }
        let mut locked = self.lock(&subnets);
        for (at, rule) in rules.iter().enumerate() {
            let (subnet, counts) = locked.counts(at);
            counts.check(address, subnet, rule.value)?;
        }
        for at in 0..rules.len() {
            let (subnet, counts) = locked.counts(at);
            counts.add(subnet);
        }
        locked.counts(0).1.permits += 1;
        Ok(BarePermit::new(subnets))
    }

    #[inline]
    pub(crate) fn give_back(&self, permit: &BarePermit) {
        if let Some(subnets) = permit.take() {
            self.uncount(subnets);
        }
    }

    #[inline]
    pub(crate) fn give_back_last(&self, permit: &mut BarePermit) {
        if let Some(subnets) = permit.take_last() {
            self.uncount(subnets);
        }
    }

    #[inline]
    fn uncount(&self, subnets: Subnets) {
        let Some(subnet) = subnets.only() else {
            return self.uncount_in_all(subnets);
        };
        let mut counts = self.shards.lock(subnet.shard());
        counts.remove(subnet);
        counts.permits -= 1;
    }

    /// All at once: whoever finds room in one of them must find it in the others.
    #[inline(never)]
    fn uncount_in_all(&self, subnets: Subnets) {
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

    /// How many permits are taken. Those of unlimited addresses are not counted. Parts are read one
    /// after the other, so while the limiter is in use the sum is of slightly different moments.
    pub fn permits(&self) -> u64 {
        self.shards.sum(|counts| counts.permits)
    }

    /// How many subnets and networks have a count: none when no permit is taken.
    pub fn tracked(&self) -> u64 {
        self.shards.sum(|counts| counts.counts.len() as u64)
    }

    /// How many connections were refused so far.
    pub fn refused(&self) -> u64 {
        self.shards.sum(|counts| counts.refused)
    }
}

/// The shards of some subnets, each locked once.
struct Locked<'a> {
    subnets: [Hashed; MAX_SIZES],
    /// A shard's is where its first subnet is.
    guards: [Option<MutexGuard<'a, Counts>>; MAX_SIZES],
}

impl<'a> Locked<'a> {
    #[inline(always)]
    fn new(shards: &'a Shards<Counts>, given: &Subnets, hasher: &RandomState) -> Self {
        let mut locked = Self {
            subnets: [Hashed::NONE; MAX_SIZES],
            guards: array::from_fn(|_| None),
        };
        let subnets = &mut locked.subnets[..given.len()];
        for (subnet, hashed) in subnets.iter_mut().zip(given.hashed(hasher)) {
            *subnet = hashed;
        }
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

    /// The subnet at that position in the list, and its shard's counts.
    #[inline]
    fn counts(&mut self, at: usize) -> (Hashed, &mut Counts) {
        let subnet = self.subnets[at];
        let same = |other: &Hashed| other.shard() == subnet.shard();
        let guard = self.subnets.iter().position(same);
        let counts = guard.and_then(|guard| self.guards[guard].as_mut());
        (subnet, counts.expect("each subnet's shard was locked"))
    }
}
