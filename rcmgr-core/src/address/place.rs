use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;

use super::rules::MAX_SIZES;
use super::shards::Hashed;
use super::subnet::Subnet;
use super::subnet_limiter::SubnetLimiter;

/// A connection's place among those that its address's subnets may have.
///
/// It is given back once: by [`give_back`](Self::give_back), or when it is dropped.
///
/// ```
/// use std::sync::Arc;
/// use rcmgr_core::address::{SubnetLimiter, SubnetLimits};
///
/// let limiter = Arc::new(SubnetLimiter::new(SubnetLimits::default())?);
/// let place = limiter.open("192.0.2.7".parse()?)?;
/// assert_eq!(limiter.places(), 1);
/// place.give_back();
/// place.give_back();
/// drop(place);
/// assert_eq!(limiter.places(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a place that is dropped is given back"]
pub struct Place {
    limiter: Arc<SubnetLimiter>,
    place: BarePlace,
}

impl Place {
    pub(super) const fn new(limiter: Arc<SubnetLimiter>, place: BarePlace) -> Self {
        Self { limiter, place }
    }

    /// Gives the place back, in all subnets at once. Any thread may call it, any number of times:
    /// the first call counts, the others do nothing and do not wait for it.
    pub fn give_back(&self) {
        self.limiter.give_back(&self.place);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limiter.give_back_last(&mut self.place);
    }
}

/// A [`Place`] that does not give itself back: its holder does, to the
/// [`Addresses`](super::Addresses) that it is from.
///
/// It is for engines, whose connections find their way to the addresses in any case. Each [`Place`]
/// is one more owner of the limiter, and to count owners, all threads write to one cache line.
#[must_use = "it is not given back when it is dropped"]
pub struct BarePlace {
    subnets: Subnets,
    given_back: AtomicBool,
}

impl BarePlace {
    /// A place of which nothing has to be given back.
    pub const fn none() -> Self {
        Self::new(Subnets::none())
    }

    #[inline]
    pub(super) const fn new(subnets: Subnets) -> Self {
        Self {
            subnets,
            given_back: AtomicBool::new(false),
        }
    }

    /// What is to be given back, for the first who asks.
    #[inline]
    pub(super) fn take(&self) -> Option<&Subnets> {
        // Relaxed: it only picks one caller; the counts are behind locks.
        let counted = !self.subnets.is_none();
        (counted && !self.given_back.swap(true, Ordering::Relaxed)).then_some(&self.subnets)
    }

    /// The same for who has it alone, which spares an atomic step.
    #[inline]
    pub(super) fn take_last(&mut self) -> Option<&Subnets> {
        let given_back = self.given_back.get_mut();
        (!self.subnets.is_none() && !std::mem::replace(given_back, true)).then_some(&self.subnets)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.show("Place", f)
    }
}

impl fmt::Debug for BarePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show("BarePlace", f)
    }
}

impl BarePlace {
    fn show(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subnets = self.subnets.iter();
        f.debug_struct(name)
            .field("subnets", &subnets.map(IpNet::from).collect::<Vec<_>>())
            .field("given_back", &self.given_back)
            .finish()
    }
}

/// The subnets of one address in which it was counted, most specific first. Each contains the one
/// before, so the first and the lengths tell all.
// Without enums around it, and parts of it: to tell one from the other is to read what was just written
// in other pieces, which stalls the processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subnets {
    first: Hashed,
    wider: [u8; MAX_SIZES - 1],
    count: u8,
}

impl Subnets {
    #[inline]
    pub(super) const fn one(first: Hashed) -> Self {
        Self {
            first,
            wider: [0; MAX_SIZES - 1],
            count: 1,
        }
    }

    /// Where nothing is counted.
    #[inline]
    pub(super) const fn none() -> Self {
        let none = Hashed {
            subnet: Subnet::ALL,
            hash: 0,
        };
        Self {
            count: 0,
            ..Self::one(none)
        }
    }

    #[inline]
    pub(super) const fn is_none(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub(super) fn push(&mut self, wider: Subnet) {
        self.wider[usize::from(self.count) - 1] = wider.len();
        self.count += 1;
    }

    /// The subnet, if there is one only.
    #[inline]
    pub(super) fn only(&self) -> Option<Hashed> {
        (self.count == 1).then_some(self.first)
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub(super) const fn first(&self) -> Hashed {
        self.first
    }

    pub(super) fn wider(&self) -> impl Iterator<Item = Subnet> {
        let wider = &self.wider[..usize::from(self.count).saturating_sub(1)];
        wider.iter().map(|&len| self.first.subnet.widened(len))
    }

    fn iter(&self) -> impl Iterator<Item = Subnet> {
        let first = (!self.is_none()).then_some(self.first.subnet);
        first.into_iter().chain(self.wider())
    }
}
