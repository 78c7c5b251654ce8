//! The record of the subnets that a connection is counted in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, mem};

use ahash::RandomState;
use ipnet::IpNet;

use crate::rules::MAX_SIZES;
use crate::shards::Hashed;
use crate::subnet::{Address, Subnet};

/// A [`Permit`](crate::Permit) that is not returned when it is dropped. Its holder must return it
/// to the [`Addresses`](crate::Addresses) that issued it.
///
/// It is for engines whose connections can reach the [`Addresses`](crate::Addresses) anyway. A
/// [`Permit`](crate::Permit) holds an `Arc` of the limiter, and all threads would contend for the
/// cache line of its reference count.
#[must_use = "dropping it does not give it back"]
pub struct BarePermit {
    address: Address,
    hash: u64,
    /// Zero after the permit was returned.
    sizes: AtomicU64,
}

impl BarePermit {
    /// An empty permit: returning it does nothing.
    #[inline]
    pub const fn none() -> Self {
        Self::new(Subnets {
            address: Subnet::ALL.address(),
            hash: 0,
            sizes: 0,
        })
    }

    #[inline]
    pub(crate) const fn new(subnets: Subnets) -> Self {
        Self {
            address: subnets.address,
            hash: subnets.hash,
            sizes: AtomicU64::new(subnets.sizes),
        }
    }

    /// The subnets to release. Returns them to the first caller only.
    #[inline]
    pub(crate) fn take(&self) -> Option<Subnets> {
        // Relaxed: the swap only picks one caller; the counts are behind locks.
        let mut sizes = self.sizes.load(Ordering::Relaxed);
        if sizes != 0 {
            sizes = self.sizes.swap(0, Ordering::Relaxed);
        }
        self.subnets(sizes)
    }

    /// Same as `take`, for exclusive access: needs no atomic read-modify-write.
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
            address: self.address,
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

/// The subnets that one address is counted in, most specific first: at least one. Each contains the
/// one before it, so the lowest address of the first and the sizes determine all of them.
// All fields are whole words: reading a word that was just written in smaller pieces stalls the
// processor (failed store forwarding).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subnets {
    address: Address,
    /// The hash of the first subnet.
    hash: u64,
    /// One byte for each subnet, the widest in the lowest byte: its prefix length plus one.
    sizes: u64,
}

const _: () = assert!(MAX_SIZES == size_of::<u64>());

impl Subnets {
    #[inline]
    pub(crate) const fn one(first: Hashed) -> Self {
        Self {
            address: first.subnet.address(),
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

    /// The subnet, if there is only one.
    #[inline]
    pub(crate) fn single(&self) -> Option<Hashed> {
        let len = u8::try_from(self.sizes - 1).ok()?;
        Some(Hashed {
            subnet: Subnet::containing(self.address, len),
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
        lens.map(|len| Subnet::containing(self.address, len))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn the_largest_number_of_subnets_comes_back_in_order() {
        let hasher = RandomState::new();
        let address = Address::from_bits(Ipv6Addr::LOCALHOST.to_bits());
        let hashed = |len| Hashed::new(Subnet::containing(address, len), &hasher);
        let all = [128, 127, 64, 63, 56, 48, 1, 0].map(hashed);

        let mut subnets = Subnets::one(all[0]);
        assert_eq!(subnets.single(), Some(all[0]));
        for (before, wider) in (1..).zip(&all[1..]) {
            assert_eq!(subnets.len(), before);
            subnets.push(wider.subnet);
            assert_eq!(subnets.single(), None);
        }
        assert_eq!(subnets.len(), MAX_SIZES);
        assert!(subnets.hashed(&hasher).eq(all));
    }
}
