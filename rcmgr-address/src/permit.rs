//! A permit that is returned when it is dropped.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rcmgr_core::SubnetLimitExceeded;

use crate::bare_permit::BarePermit;
use crate::subnet_limiter::SubnetLimiter;

/// A connection's permit: it counts the connection in the subnets of its address.
///
/// It is returned once: by [`give_back`](Self::give_back), or when it is dropped.
///
/// ```
/// use std::sync::Arc;
/// use rcmgr_address::{SubnetLimiter, SubnetLimits};
///
/// let limiter = Arc::new(SubnetLimiter::new(SubnetLimits::reference_defaults())?);
/// let permit = limiter.open("192.0.2.7".parse()?)?;
/// assert_eq!(limiter.permits(), 1);
/// permit.give_back();
/// permit.give_back();
/// drop(permit);
/// assert_eq!(limiter.permits(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the permit gives it back"]
pub struct Permit {
    limiter: Arc<SubnetLimiter>,
    permit: BarePermit,
}

impl Permit {
    pub(crate) const fn new(limiter: Arc<SubnetLimiter>, permit: BarePermit) -> Self {
        Self { limiter, permit }
    }

    /// Returns the permit, in all subnets at once. Any thread may call it any number of times. The
    /// first call has an effect; the others do nothing and do not wait for it.
    pub fn give_back(&self) {
        self.limiter.give_back(&self.permit);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.give_back_last(&mut self.permit);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.permit.show("Permit", f)
    }
}

impl SubnetLimiter {
    /// Takes a permit for a connection with this remote address. The connection counts until the
    /// permit is returned or dropped.
    ///
    /// # Errors
    ///
    /// Names the most specific subnet, or the network prefix, that has reached its limit; then
    /// nothing was counted. An IPv4-mapped address appears in the error as IPv4.
    pub fn open(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, SubnetLimitExceeded> {
        let permit = self.open_bare(ip)?;
        Ok(Permit::new(Arc::clone(self), permit))
    }
}
