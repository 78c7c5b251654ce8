//! Limits whose fields may be unset; an unset field takes a default.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rcmgr_core::{Limit, LimitValue, Limits, LimitsKey};

use crate::{PartialAddresses, PartialLimit, PerScope};

/// Limits whose fields may be unset: the content of a limits file.
///
/// Unset fields take their values from the defaults that the limits are built over, such as
/// [`LimitsExt::auto_scale`](crate::LimitsExt). This corresponds to go-libp2p's partial
/// configuration. The limits of the scopes can be used as fields of this type.
///
/// ```
/// use rcmgr_config::PartialLimits;
/// use rcmgr_core::{Limits, LimitValue};
///
/// let mut partial = PartialLimits::default();
/// partial.system.conns = Some(LimitValue::Limited(100));
/// partial.service.entry("dht".into()).or_default().fd = Some(LimitValue::BLOCK_ALL);
/// let limits = partial.build(&Limits::unlimited());
/// assert_eq!(limits.system.conns, LimitValue::Limited(100));
/// assert_eq!(limits.service["dht"].fd, LimitValue::BLOCK_ALL);
/// assert_eq!(limits.service["dht"].memory, LimitValue::Unlimited);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartialLimits {
    /// The limits of the scopes.
    pub scopes: PerScope<PartialLimit>,
    /// How many requests may wait for room in a scope at a time, for each of its resources. A dry
    /// run ignores it: it is as enforced there.
    pub waiters: Option<LimitValue>,
    /// The limits by remote address.
    pub addresses: PartialAddresses,
    /// The limits of a dry run, which are evaluated and not enforced. Unset fields are as enforced.
    /// `None` leaves the dry run to the defaults. A dry run has no dry run of its own.
    pub dry_run: Option<Box<Self>>,
}

impl Deref for PartialLimits {
    type Target = PerScope<PartialLimit>;

    fn deref(&self) -> &Self::Target {
        &self.scopes
    }
}

impl DerefMut for PartialLimits {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.scopes
    }
}

impl PartialLimits {
    /// Sets each field that `other` sets and this does not, and adds names that only `other` has.
    ///
    /// ```
    /// use rcmgr_config::PartialLimits;
    /// use rcmgr_core::LimitValue;
    ///
    /// let mut mine = PartialLimits::default();
    /// mine.conn.fd = Some(LimitValue::Limited(1));
    /// let mut other = PartialLimits::default();
    /// other.conn.fd = Some(LimitValue::Limited(7));
    /// other.conn.memory = Some(LimitValue::Unlimited);
    /// mine.apply(&other);
    /// assert_eq!(mine.conn.fd, Some(LimitValue::Limited(1)));
    /// assert_eq!(mine.conn.memory, Some(LimitValue::Unlimited));
    /// ```
    pub fn apply(&mut self, other: &Self) {
        for (key, limit) in other.entries() {
            self.entry(key).apply(limit);
        }
        self.waiters = self.waiters.or(other.waiters);
        self.addresses.apply(&other.addresses);
        match (&mut self.dry_run, &other.dry_run) {
            (Some(mine), Some(other)) => mine.apply(other),
            (mine @ None, other) => mine.clone_from(other),
            (Some(_), None) => {}
        }
    }

    /// The limits, with the defaults for unset fields.
    ///
    /// The default of a named entry is the entry of that name in `defaults`, else the newly built
    /// default of its class. Names that only `defaults` has are kept unchanged.
    ///
    /// The dry run is built over the limits that were just built, so its unset fields are as
    /// enforced.
    ///
    /// If `defaults` has no limit for services without an entry, neither has the result, unless
    /// `service_default` sets a field. Then the unset fields of `service_default`, and of services'
    /// entries, are unlimited.
    #[must_use]
    pub fn build(&self, defaults: &Limits) -> Limits {
        let mut built = defaults.clone();
        // The order of keys puts a class's default before its named entries, which look it up.
        for (key, partial) in self.entries() {
            if key == LimitsKey::ServiceDefault && partial.is_default() {
                continue;
            }
            let default = built.lookup(&key).unwrap_or(Limit::UNLIMITED);
            built.set(key, partial.build(&default));
        }
        built.waiters = self.waiters.unwrap_or(defaults.waiters);
        built.addresses = self.addresses.build(&defaults.addresses);
        if let Some(dry_run) = &self.dry_run {
            let enforced = Limits {
                dry_run: None,
                ..built.clone()
            };
            built.dry_run = Some(Arc::new(Limits {
                dry_run: None,
                // Nothing waits in a dry run.
                waiters: built.waiters,
                ..dry_run.build(&enforced)
            }));
        }
        built
    }
}

impl From<&Limits> for PartialLimits {
    /// Sets every field of every entry. Building the result over defaults without named entries and
    /// without a dry run gives the same limits again. There are two exceptions: a `service_default`
    /// of `None` is taken from the defaults, and the `waiters` of a dry run are as enforced.
    fn from(limits: &Limits) -> Self {
        let mut partial = Self {
            waiters: Some(limits.waiters),
            addresses: (&limits.addresses).into(),
            ..Self::default()
        };
        for (key, limit) in limits.entries() {
            *partial.entry(key) = PartialLimit::from(&limit);
        }
        partial.dry_run = limits.dry_run.as_ref().map(|dry_run| {
            let mut partial = Self::from(&**dry_run);
            // A name that only the enforced limits have would be as enforced in the dry run too.
            for (key, _) in limits.entries() {
                if partial.get(&key).is_none()
                    && let Some(limit) = dry_run.lookup(&key)
                {
                    *partial.entry(key) = PartialLimit::from(&limit);
                }
            }
            partial.dry_run = None;
            partial.waiters = None;
            Box::new(partial)
        });
        partial
    }
}
