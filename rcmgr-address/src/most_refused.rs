//! The subnets that were refused most often, in bounded memory.
//!
//! How it works: the *space-saving* algorithm. A few slots hold a subnet and a count. A subnet
//! without a slot takes over the slot with the lowest count, and adds to this count. So a subnet
//! with more than its share of the refusals always has a slot, however many other subnets are
//! refused: its slot's count soon is not the lowest.

use crate::subnet::Subnet;

/// The number of slots. Each shard of a limiter has these, so a subnet surely has a slot if it has
/// more than an eighth of the refusals in its shard.
const SLOTS: usize = 8;

/// The subnets of one shard that were refused most often.
#[derive(Debug)]
pub(crate) struct MostRefused {
    slots: [Slot; SLOTS],
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    subnet: Subnet,
    /// An upper bound of the subnet's refusals.
    count: u64,
    /// The part of the count that came from the subnet that had the slot before.
    inherited: u64,
}

impl MostRefused {
    pub(crate) const fn new() -> Self {
        let empty = Slot {
            subnet: Subnet::ALL,
            count: 0,
            inherited: 0,
        };
        Self {
            slots: [empty; SLOTS],
        }
    }

    /// Counts a refusal of this subnet.
    pub(crate) fn count(&mut self, subnet: Subnet) {
        let mut lowest = 0;
        for at in 0..SLOTS {
            let slot = &mut self.slots[at];
            if slot.subnet == subnet && slot.count > 0 {
                slot.count += 1;
                return;
            }
            if slot.count < self.slots[lowest].count {
                lowest = at;
            }
        }
        let slot = &mut self.slots[lowest];
        *slot = Slot {
            subnet,
            count: slot.count + 1,
            inherited: slot.count,
        };
    }

    /// The subnets in the slots, and how often each was refused since it has its slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Subnet, u64)> {
        let used = self.slots.iter().filter(|slot| slot.count > 0);
        used.map(|slot| (slot.subnet, slot.count - slot.inherited))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn host(number: u32) -> Subnet {
        let ip = IpAddr::from(Ipv4Addr::from_bits(number));
        Subnet::containing(ip.into(), 128)
    }

    #[test]
    fn a_subnet_with_an_eighth_of_the_refusals_is_found_among_a_million_others() {
        let mut most = MostRefused::new();
        for number in 0..1_000_000 {
            most.count(host(1 + number));
            if number % 6 == 0 {
                most.count(host(0));
            }
        }
        let (subnet, refused) = most.iter().max_by_key(|&(_, refused)| refused).unwrap();
        assert_eq!(subnet, host(0));
        // It lost its slot at most before its count was above the others.
        assert!((166_600..=166_667).contains(&refused), "{refused}");
        assert!(
            most.iter()
                .all(|(other, refused)| other == host(0) || refused == 1)
        );
    }

    #[test]
    fn a_few_subnets_are_counted_exactly() {
        let mut most = MostRefused::new();
        for round in 0..8 {
            for number in round..8 {
                most.count(host(number));
            }
        }
        let mut counts: Vec<_> = most.iter().collect();
        counts.sort_by_key(|&(_, refused)| refused);
        let expected: Vec<_> = (0..8)
            .map(|number| (host(number), u64::from(number) + 1))
            .collect();
        assert_eq!(counts, expected);
    }
}
