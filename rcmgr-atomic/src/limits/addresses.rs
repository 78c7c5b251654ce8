//! Limits by remote address: those of `rcmgr-address`. Without the feature `address` a stand-in
//! admits every address, so that the rest of the engine does not change.

use rcmgr_core::{Limits, Result};

#[cfg(feature = "address")]
pub use rcmgr_address::{Addresses, BarePermit, Listing};

#[cfg(not(feature = "address"))]
pub use none::{Addresses, BarePermit, Listing};

/// Whether limits by address are enforced, if there are any: in the limits, or in their dry run.
///
/// # Errors
///
/// [`BadConfiguration`](rcmgr_core::Error::BadConfiguration) without the feature `address`.
#[cfg(feature = "address")]
pub const fn check_support(_: &Limits) -> Result<()> {
    Ok(())
}

/// Whether limits by address are enforced, if there are any: in the limits, or in their dry run.
///
/// # Errors
///
/// [`BadConfiguration`](rcmgr_core::Error::BadConfiguration) without the feature `address`.
#[cfg(not(feature = "address"))]
pub fn check_support(limits: &Limits) -> Result<()> {
    let mut all = std::iter::once(limits).chain(limits.dry_run.as_deref());
    if all.all(|limits| limits.addresses.limit_nothing()) {
        return Ok(());
    }
    Err(rcmgr_core::BadConfiguration {
        field: "addresses".to_owned(),
        reason: "limits by address need the feature `address` of rcmgr-atomic".to_owned(),
        ..Default::default()
    }
    .into())
}

#[cfg(not(feature = "address"))]
mod none {
    use std::net::IpAddr;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use rcmgr_core::{AddressLimits, Clock, Endpoint, Error, LimitValue, PeerId, Result};

    #[derive(Debug)]
    pub struct Addresses {
        allowlist: Allowlist,
        /// A lock, because a change of limits is rare. No connection takes it.
        limits: Mutex<AddressLimits>,
    }

    #[derive(Debug)]
    pub struct Allowlist;

    #[derive(Debug)]
    pub struct BarePermit;

    #[derive(Debug, PartialEq, Eq)]
    #[allow(dead_code, reason = "the stand-in lists nothing")]
    pub enum Listing {
        NotListed,
        SomePeers,
        SomePeersHere,
        EveryPeer,
    }

    impl Addresses {
        pub fn new(limits: AddressLimits, _: LimitValue, _: Arc<dyn Clock>) -> Self {
            Self {
                allowlist: Allowlist,
                limits: Mutex::new(limits),
            }
        }

        pub fn limits(&self) -> AddressLimits {
            self.limits.lock().clone()
        }

        pub fn admit_bare(&self, _: Endpoint) -> Result<BarePermit> {
            Ok(BarePermit)
        }

        pub fn evaluate(&self, _: Endpoint) -> (BarePermit, Option<Error>) {
            (BarePermit, None)
        }

        pub fn give_back(&self, _: &BarePermit) {}

        pub fn give_back_last(&self, _: &mut BarePermit) {}

        pub fn verify_source_address(&self, _: IpAddr) -> bool {
            false
        }

        pub fn set(&self, limits: AddressLimits, _: LimitValue) {
            *self.limits.lock() = limits;
        }

        pub const fn allowlist(&self) -> &Allowlist {
            &self.allowlist
        }
    }

    impl Allowlist {
        pub fn listing(&self, _: Endpoint) -> Listing {
            Listing::NotListed
        }

        pub fn allows(&self, _: &PeerId, _: Endpoint) -> bool {
            false
        }
    }

    impl BarePermit {
        pub const fn none() -> Self {
            Self
        }
    }
}
