//! How it works: for every subnet (and limited network) with open connections there is a count, in
//! one of a few dozen maps, each behind its lock. Opening locks the maps of all the address's
//! subnets, in the order of their indices so that nobody waits in a circle, checks all, and counts
//! in all; closing does the same. So every answer is the one that some order of the calls, one
//! after the other, would give. A count that falls to zero leaves its map.

use std::array;
use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};

use arc_swap::ArcSwap;

use crate::{Result, SubnetLimitExceeded};

use super::place::{Place, Subnets};
use super::rules::{MAX_SIZES, Rules};
use super::shards::{Map, Shards, shrink};
use super::subnet::Subnet;
use super::subnet_limits::SubnetLimits;

/// Limits how many connections a remote address, and the subnets around it, have open.
///
/// Counts are exact under concurrency: there are never more places than a limit allows, and nobody
/// is refused because of one that was given back before.
///
/// ```
/// use std::net::IpAddr;
/// use std::sync::Arc;
/// use rcmgr_core::address::{SubnetLimiter, SubnetLimits};
///
/// let limiter = Arc::new(SubnetLimiter::new(SubnetLimits::default())?);
/// let ip: IpAddr = "192.0.2.7".parse()?;
///
/// let mut places = (0..8).map(|_| limiter.open(ip)).collect::<Result<Vec<_>, _>>()?;
/// assert!(limiter.open(ip).is_err());
///
/// places.pop();
/// assert!(limiter.open(ip).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SubnetLimiter {
    shards: Shards<Counts>,
    active: ArcSwap<Active>,
}

/// The limits as they were given, and as they are looked up.
#[derive(Debug)]
struct Active {
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
    /// Never zero.
    open: Map<Subnet, u64>,
    /// How many places there are whose most specific subnet is counted here.
    places: u64,
    refused: u64,
}

impl Counts {
    fn check(&mut self, ip: IpAddr, subnet: Subnet, limit: u64) -> Result<(), SubnetLimitExceeded> {
        let used = self.open.get(&subnet).copied().unwrap_or(0);
        if used < limit {
            return Ok(());
        }
        self.refused += 1;
        Err(SubnetLimitExceeded {
            ip,
            network: subnet.into(),
            used,
            limit,
        })
    }

    fn add(&mut self, subnet: Subnet) {
        *self.open.entry(subnet).or_insert(0) += 1;
    }

    fn remove(&mut self, subnet: Subnet) {
        let Some(index) = self.open.get_index_of(&subnet) else {
            return;
        };
        self.open[index] -= 1;
        if self.open[index] == 0 {
            self.open.swap_remove_index(index);
            shrink(&mut self.open);
        }
    }
}

impl SubnetLimiter {
    /// A limiter without open connections.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](crate::BadConfiguration), as [`SubnetLimits`] tells.
    pub fn new(limits: SubnetLimits) -> Result<Self> {
        Ok(Self {
            shards: Shards::new(|hasher| Counts {
                open: Map::with_hasher(hasher),
                places: 0,
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
    /// Every place is given back where it was counted when it was opened. A subnet or network that
    /// was limited before and still is keeps its count, and one that is over its new limit refuses
    /// until it is below. A size or network that is new counts the connections opened from now on:
    /// those that are open already count nowhere that they did not count before.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](crate::BadConfiguration), as [`SubnetLimits`] tells; then nothing has
    /// changed.
    pub fn set_limits(&self, limits: SubnetLimits) -> Result<()> {
        self.active.store(Arc::new(Active::new(limits)?));
        Ok(())
    }

    /// Takes a place for a connection with this remote address, until the place is given back or
    /// dropped.
    ///
    /// # Errors
    ///
    /// The most specific subnet, or the network prefix, that has as many as it may. Then nothing
    /// was counted. The address in the error is in the form that counts: IPv4, if it stood for one.
    pub fn open(self: &Arc<Self>, ip: IpAddr) -> Result<Place, SubnetLimitExceeded> {
        let ip = ip.to_canonical();
        let active = self.active.load();
        let rules = active.rules.applying(ip).rules;
        let [first, wider @ ..] = rules else {
            return Ok(Place::uncounted());
        };

        // A flood ends here: one lock, and the others are left alone.
        let subnet = Subnet::around(ip, first.prefix_len);
        let mut counts = self.shards.lock(self.shards.index_of(&subnet));
        counts.check(ip, subnet, first.value)?;
        if wider.is_empty() {
            counts.add(subnet);
            counts.places += 1;
            return Ok(Place::counted(Arc::clone(self), Subnets::one(subnet)));
        }
        drop(counts);

        let mut subnets = Subnets::one(subnet);
        for rule in wider {
            subnets.push(Subnet::around(ip, rule.prefix_len));
        }
        let mut locked = Locked::new(&self.shards, &subnets);
        for (at, (subnet, rule)) in subnets.iter().zip(rules).enumerate() {
            locked.counts(at).check(ip, subnet, rule.value)?;
        }
        for (at, subnet) in subnets.iter().enumerate() {
            locked.counts(at).add(subnet);
        }
        locked.counts(0).places += 1;
        drop(locked);
        Ok(Place::counted(Arc::clone(self), subnets))
    }

    pub(super) fn give_back(&self, subnets: &Subnets) {
        if let Some(subnet) = subnets.only() {
            let mut counts = self.shards.lock(self.shards.index_of(&subnet));
            counts.remove(subnet);
            counts.places -= 1;
            return;
        }
        // All at once: whoever finds room in one of them must find it in the others.
        let mut locked = Locked::new(&self.shards, subnets);
        for (at, subnet) in subnets.iter().enumerate() {
            locked.counts(at).remove(subnet);
        }
        locked.counts(0).places -= 1;
    }

    /// How many places are taken. Those of unlimited addresses are not counted. Parts are read one
    /// after the other, so while the limiter is in use the sum is of slightly different moments.
    pub fn places(&self) -> u64 {
        self.shards.sum(|counts| counts.places)
    }

    /// How many subnets and networks have a count: none when no place is taken.
    pub fn tracked(&self) -> u64 {
        self.shards.sum(|counts| counts.open.len() as u64)
    }

    /// How many connections were refused so far.
    pub fn refused(&self) -> u64 {
        self.shards.sum(|counts| counts.refused)
    }
}

/// The shards of some subnets, each locked once.
struct Locked<'a> {
    guards: [Option<MutexGuard<'a, Counts>>; MAX_SIZES],
    /// Which guard is whose.
    guard_of: [u8; MAX_SIZES],
}

impl<'a> Locked<'a> {
    fn new(shards: &'a Shards<Counts>, subnets: &Subnets) -> Self {
        let mut order = [(0, 0_u8); MAX_SIZES];
        let mut taken = 0;
        for subnet in subnets.iter() {
            order[taken] = (shards.index_of(&subnet), taken as u8);
            taken += 1;
        }
        let order = &mut order[..taken];
        order.sort_unstable();

        let mut locked = Self {
            guards: array::from_fn(|_| None),
            guard_of: [0; MAX_SIZES],
        };
        let mut previous = None;
        for &(shard, subnet) in &*order {
            if previous.is_none_or(|(last, _)| last != shard) {
                let guard = previous.map_or(0, |(_, guard)| guard + 1);
                locked.guards[guard] = Some(shards.lock(shard));
                previous = Some((shard, guard));
            }
            locked.guard_of[usize::from(subnet)] = previous.map_or(0, |(_, guard)| guard as u8);
        }
        locked
    }

    /// The counts of the subnet at that place in the list.
    fn counts(&mut self, at: usize) -> &mut Counts {
        self.guards[usize::from(self.guard_of[at])]
            .as_mut()
            .expect("each subnet's shard was locked")
    }
}
