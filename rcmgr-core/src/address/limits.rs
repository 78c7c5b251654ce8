//! Limits by address that were checked.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use super::AddressConfig;
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
    /// [`BadConfiguration`] if [`SubnetLimits`](super::SubnetLimits) or
    /// [`RateLimits`](super::RateLimits) are not valid. It names the field.
    pub fn new(config: AddressConfig) -> Result<Self, BadConfiguration> {
        config.subnets.check()?;
        config.rates.check()?;
        Ok(Self(Arc::new(config)))
    }

    /// Whether nothing is limited and the allowlist is empty.
    pub fn limit_nothing(&self) -> bool {
        let none = AddressConfig {
            trusted: self.trusted.clone(),
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
