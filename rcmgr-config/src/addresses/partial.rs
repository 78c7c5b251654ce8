//! Limits by address whose lists may be unset; an unset list takes a default.

use std::collections::BTreeSet;

use rcmgr_core::{AddressConfig, AddressLimits};

use super::AddressList;

/// Limits by address whose [lists](AddressList) may be unset. An unset list takes the default. The
/// values of the lists are checked.
///
/// ```
/// use rcmgr_config::{AddressList, PartialAddresses};
/// use rcmgr_core::AddressLimits;
/// use rcmgr_core::address::{AddressConfig, SubnetLimit};
///
/// let mut config = AddressConfig::none();
/// config.subnets.v4.push(SubnetLimit { prefix_len: 32, conns: 16 });
/// let partial = PartialAddresses::new(AddressLimits::new(config)?, [AddressList::SubnetsV4]);
///
/// let reference = AddressLimits::new(AddressConfig::reference_defaults())?;
/// let built = partial.build(&reference);
/// assert_eq!(built.subnets.v4[0].conns, 16);
/// assert_eq!(built.subnets.v6, reference.subnets.v6);
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartialAddresses {
    reference_defaults: bool,
    set: BTreeSet<AddressList>,
    /// The values of the lists in `set`. The other lists are those of [`AddressConfig::none`].
    values: AddressLimits,
}

impl PartialAddresses {
    /// Sets these lists to those of `values`. A list is left unset if it is valid only together with
    /// prefixes of NAT64 that are not set.
    pub fn new(values: AddressLimits, set: impl IntoIterator<Item = AddressList>) -> Self {
        let set: BTreeSet<_> = set.into_iter().collect();
        Self {
            reference_defaults: false,
            values: combined(&set, &values, AddressConfig::none()),
            set,
        }
    }

    /// Whether unset lists take go-libp2p's values ([`AddressConfig::reference_defaults`]) and not
    /// the default.
    pub const fn starts_from_reference_defaults(&self) -> bool {
        self.reference_defaults
    }

    /// Chooses whether unset lists take go-libp2p's values.
    #[must_use]
    pub fn start_from_reference_defaults(self, reference_defaults: bool) -> Self {
        Self {
            reference_defaults,
            ..self
        }
    }

    /// Whether a list is set.
    pub fn sets(&self, list: AddressList) -> bool {
        self.set.contains(&list)
    }

    /// The values of the lists that are set. The other lists are those of [`AddressConfig::none`].
    pub const fn values(&self) -> &AddressLimits {
        &self.values
    }

    /// Whether no list is set.
    pub fn is_default(&self) -> bool {
        !self.reference_defaults && self.set.is_empty()
    }

    /// Sets each list that `other` sets and this does not. If this starts from go-libp2p's values,
    /// `other` changes nothing.
    pub fn apply(&mut self, other: &Self) {
        if self.reference_defaults {
            return;
        }
        let missing: BTreeSet<_> = other.set.difference(&self.set).copied().collect();
        // The lists that are set here have precedence.
        let theirs = combined(&missing, &other.values, AddressConfig::none());
        let set = std::mem::take(&mut self.set);
        self.values = combined(&set, &self.values, (*theirs).clone());
        self.set = set;
        self.set.extend(missing);
        self.reference_defaults = other.reference_defaults;
    }

    /// The limits, with the lists of `default`, or go-libp2p's, for unset lists.
    ///
    /// An unset list stays empty if it contradicts the lists that are set: if they name networks
    /// whose addresses count as IPv4 addresses because of the default's prefixes of NAT64, or the
    /// reverse.
    #[must_use]
    pub fn build(&self, default: &AddressLimits) -> AddressLimits {
        if self.is_default() {
            return default.clone();
        }
        let start = match self.reference_defaults {
            true => AddressConfig::reference_defaults(),
            false => (**default).clone(),
        };
        combined(&self.set, &self.values, start)
    }
}

/// `start` with these lists from `values`, which are valid together. Other lists of `start` are left
/// out if they contradict these.
fn combined(
    lists: &BTreeSet<AddressList>,
    values: &AddressLimits,
    start: AddressConfig,
) -> AddressLimits {
    let mut all = start.clone();
    for list in lists {
        list.copy(values, &mut all);
    }
    if let Ok(all) = AddressLimits::new(all) {
        return all;
    }
    // Add one list after the other, first those of `values`.
    let others = AddressList::ALL.iter().filter(|list| !lists.contains(list));
    let of_values = lists.iter().map(|list| (list, &**values));
    let of_start = others.map(|list| (list, &start));
    let mut kept = AddressLimits::default();
    for (list, from) in of_values.chain(of_start) {
        let mut more = (*kept).clone();
        list.copy(from, &mut more);
        if let Ok(more) = AddressLimits::new(more) {
            kept = more;
        }
    }
    kept
}

impl From<&AddressLimits> for PartialAddresses {
    /// Sets every list.
    fn from(limits: &AddressLimits) -> Self {
        Self::new(limits.clone(), AddressList::ALL)
    }
}
