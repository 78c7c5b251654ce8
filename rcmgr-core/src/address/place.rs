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
    /// `None` where nothing is counted.
    counted: Option<(Arc<SubnetLimiter>, Subnets)>,
    given_back: AtomicBool,
}

impl Place {
    pub(super) const fn uncounted() -> Self {
        Self {
            counted: None,
            given_back: AtomicBool::new(false),
        }
    }

    pub(super) const fn counted(limiter: Arc<SubnetLimiter>, subnets: Subnets) -> Self {
        Self {
            counted: Some((limiter, subnets)),
            given_back: AtomicBool::new(false),
        }
    }

    /// Gives the place back, in all subnets at once. Any thread may call it, any number of times:
    /// the first call counts, the others do nothing and do not wait for it.
    pub fn give_back(&self) {
        // Relaxed: it only picks one caller; the counts are behind locks.
        if let Some((limiter, subnets)) = &self.counted
            && !self.given_back.swap(true, Ordering::Relaxed)
        {
            limiter.give_back(subnets);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nobody else has it any more, which spares an atomic step.
        if let Some((limiter, subnets)) = &self.counted
            && !*self.given_back.get_mut()
        {
            limiter.give_back(subnets);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subnets = self.counted.iter().flat_map(|(_, subnets)| subnets.iter());
        f.debug_struct("Place")
            .field("subnets", &subnets.map(IpNet::from).collect::<Vec<_>>())
            .field("given_back", &self.given_back)
            .finish()
    }
}

/// The subnets of one address in which it was counted, most specific first; never empty. Each
/// contains the one before, so the first and the lengths tell all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subnets {
    first: Hashed,
    wider: [u8; MAX_SIZES - 1],
    wider_count: u8,
}

impl Subnets {
    #[inline]
    pub(super) const fn one(first: Hashed) -> Self {
        Self {
            first,
            wider: [0; MAX_SIZES - 1],
            wider_count: 0,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, wider: Subnet) {
        self.wider[usize::from(self.wider_count)] = wider.len();
        self.wider_count += 1;
    }

    /// The subnet, if there is one only.
    #[inline]
    pub(super) fn only(&self) -> Option<Hashed> {
        (self.wider_count == 0).then_some(self.first)
    }

    pub(super) fn len(&self) -> usize {
        1 + usize::from(self.wider_count)
    }

    pub(super) const fn first(&self) -> Hashed {
        self.first
    }

    pub(super) fn wider(&self) -> impl Iterator<Item = Subnet> {
        let wider = &self.wider[..usize::from(self.wider_count)];
        wider.iter().map(|&len| self.first.subnet.widened(len))
    }

    fn iter(&self) -> impl Iterator<Item = Subnet> {
        std::iter::once(self.first.subnet).chain(self.wider())
    }
}
