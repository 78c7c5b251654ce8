//! The record of the subnets in which a connection was counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, mem};

use ahash::RandomState;
use ipnet::IpNet;

use crate::rules::MAX_SIZES;
use crate::shards::Hashed;
use crate::subnet::{Address, Subnet};

/// A [`Permit`](crate::Permit) that does not give itself back: its holder does, to the
/// [`Addresses`](crate::Addresses) that it is from.
///
/// It is for engines, whose connections find their way to the addresses in any case. Each [`Permit`](crate::Permit)
/// is one more owner of the limiter, and to count owners, all threads write to one cache line.
#[must_use = "it is not given back when it is dropped"]
pub struct BarePermit {
    around: Address,
    hash: u64,
    /// Zero from when the permit was given back.
    sizes: AtomicU64,
}

impl BarePermit {
    /// A permit of which nothing has to be given back.
    #[inline]
    pub const fn none() -> Self {
        Self::new(Subnets {
            around: Subnet::ALL.address(),
            hash: 0,
            sizes: 0,
        })
    }

    #[inline]
    pub(crate) const fn new(subnets: Subnets) -> Self {
        Self {
            around: subnets.around,
            hash: subnets.hash,
            sizes: AtomicU64::new(subnets.sizes),
        }
    }

    /// What is to be given back, for the first who asks.
    #[inline]
    pub(crate) fn take(&self) -> Option<Subnets> {
        // Relaxed: it only picks one caller; the counts are behind locks.
        let mut sizes = self.sizes.load(Ordering::Relaxed);
        if sizes != 0 {
            sizes = self.sizes.swap(0, Ordering::Relaxed);
        }
        self.subnets(sizes)
    }

    /// The same for who has it alone, which spares an atomic step.
    #[inline]
    pub(crate) fn take_last(&mut self) -> Option<Subnets> {
        let sizes = mem::take(self.sizes.get_mut());
        self.subnets(sizes)
    }

    #[inline]
    const fn subnets(&self, sizes: u64) -> Option<Subnets> {
        if sizes == 0 {
            return None;
        }
        Some(Subnets {
            around: self.around,
            hash: self.hash,
            sizes,
        })
    }
}

impl fmt::Debug for BarePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show("BarePermit", f)
    }
}

impl BarePermit {
    pub(crate) fn show(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.subnets(self.sizes.load(Ordering::Relaxed));
        let subnets = held.iter().flat_map(Subnets::iter).map(IpNet::from);
        f.debug_struct(name)
            .field("subnets", &subnets.collect::<Vec<_>>())
            .finish()
    }
}

/// The subnets of one address in which it was counted, most specific first: at least one. Each
/// contains the one before, so the lowest address of the first and the sizes tell all.
// All of it words: to read together what was just written in smaller pieces stalls the processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subnets {
    around: Address,
    /// Of the first.
    hash: u64,
    /// A byte each, the widest in the lowest: one more than its prefix length.
    sizes: u64,
}

const _: () = assert!(MAX_SIZES == size_of::<u64>());

impl Subnets {
    #[inline]
    pub(crate) const fn one(first: Hashed) -> Self {
        Self {
            around: first.subnet.address(),
            hash: first.hash,
            sizes: Self::size(first.subnet),
        }
    }

    #[inline]
    const fn size(subnet: Subnet) -> u64 {
        subnet.len() as u64 + 1
    }

    #[inline]
    pub(crate) const fn push(&mut self, wider: Subnet) {
        self.sizes = self.sizes << 8 | Self::size(wider);
    }

    /// The subnet, if there is one only.
    #[inline]
    pub(crate) fn only(&self) -> Option<Hashed> {
        let len = u8::try_from(self.sizes - 1).ok()?;
        Some(Hashed {
            subnet: Subnet::around(self.around, len),
            hash: self.hash,
        })
    }

    pub(crate) const fn len(&self) -> usize {
        MAX_SIZES - self.sizes.leading_zeros() as usize / 8
    }

    pub(crate) fn hashed(&self, hasher: &RandomState) -> impl Iterator<Item = Hashed> {
        let mut first = Some(self.hash);
        self.iter().map(move |subnet| match first.take() {
            Some(hash) => Hashed { subnet, hash },
            None => Hashed::new(subnet, hasher),
        })
    }

    fn iter(&self) -> impl Iterator<Item = Subnet> {
        let sizes = self.sizes.to_be_bytes().into_iter();
        let lens = sizes.filter_map(|size| size.checked_sub(1));
        lens.map(|len| Subnet::around(self.around, len))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn as_many_subnets_as_may_be_come_back_in_their_order() {
        let hasher = RandomState::new();
        let address = Address::from_bits(Ipv6Addr::LOCALHOST.to_bits());
        let hashed = |len| Hashed::new(Subnet::around(address, len), &hasher);
        let all = [128, 127, 64, 63, 56, 48, 1, 0].map(hashed);

        let mut subnets = Subnets::one(all[0]);
        assert_eq!(subnets.only(), Some(all[0]));
        for (before, wider) in (1..).zip(&all[1..]) {
            assert_eq!(subnets.len(), before);
            subnets.push(wider.subnet);
            assert_eq!(subnets.only(), None);
        }
        assert_eq!(subnets.len(), MAX_SIZES);
        assert!(subnets.hashed(&hasher).eq(all));
    }
}
