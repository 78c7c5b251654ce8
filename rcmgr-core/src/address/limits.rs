//! Limits by address that were checked.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use super::check::{check_nat64, check_trusted};
use super::{AddressConfig, AllowlistEntry};
use crate::BadConfiguration;

/// Limits by address that were checked, as part of [`Limits`](crate::Limits). A clone is cheap.
///
/// ```
/// use rcmgr_core::address::{AddressConfig, AddressLimits, SubnetLimit, SubnetLimits};
/// use rcmgr_core::Limits;
///
/// let subnets = SubnetLimits {
///     v4: vec![SubnetLimit { prefix_len: 32, conns: 16 }],
///     ..SubnetLimits::none()
/// };
/// let mut limits = Limits::unlimited();
/// limits.addresses = AddressLimits::new(AddressConfig { subnets, ..AddressConfig::default() })?;
/// assert_eq!(limits.addresses.subnets.v4[0].conns, 16);
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AddressLimits(Arc<AddressConfig>);

/// A rate that was checked is never NaN.
impl Eq for AddressLimits {}

impl AddressLimits {
    /// Checks a configuration.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`] names the field:
    ///
    /// - `nat64`, if a prefix has a length that RFC 6052 does not have, is listed twice, or
    ///   overlaps another prefix of addresses that carry an IPv4 address.
    /// - `trusted`, if a network is listed twice.
    /// - `allowlist`, if an entry names neither a network nor a peer.
    /// - `subnets` or `rates`, as [`SubnetLimits::check`](super::SubnetLimits::check) and
    ///   [`RateLimits::check`](super::RateLimits::check).
    ///
    /// Networks are compared in their canonical form, so 192.0.2.0/24 and ::ffff:192.0.2.0/120 are
    /// the same. A network such as 2002::/16 is an error, because its addresses count as IPv4.
    pub fn new(config: AddressConfig) -> Result<Self, BadConfiguration> {
        let nat64 = &config.nat64;
        check_nat64(nat64)?;
        check_trusted(&config.trusted, nat64)?;
        config
            .allowlist
            .iter()
            .try_for_each(AllowlistEntry::check)?;
        config.subnets.check_with(nat64)?;
        config.rates.check_with(nat64)?;
        Ok(Self(Arc::new(config)))
    }

    /// Whether nothing is limited and the allowlist is empty.
    pub fn limit_nothing(&self) -> bool {
        let none = AddressConfig {
            trusted: self.trusted.clone(),
            trust_loopback: self.trust_loopback,
            nat64: self.nat64.clone(),
            ..AddressConfig::none()
        };
        *self.0 == none
    }
}

/// [`AddressConfig::none`].
impl Default for AddressLimits {
    fn default() -> Self {
        static NONE: LazyLock<AddressLimits> =
            LazyLock::new(|| AddressLimits(Arc::new(AddressConfig::none())));
        NONE.clone()
    }
}

impl Deref for AddressLimits {
    type Target = AddressConfig;

    fn deref(&self) -> &AddressConfig {
        &self.0
    }
}

impl TryFrom<AddressConfig> for AddressLimits {
    type Error = BadConfiguration;

    fn try_from(config: AddressConfig) -> Result<Self, BadConfiguration> {
        Self::new(config)
    }
}
