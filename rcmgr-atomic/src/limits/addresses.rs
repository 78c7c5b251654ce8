//! Limits by remote address: those of `rcmgr-address`. Without the feature `address` a stand-in
//! admits every address, so that the rest of the engine does not change.

#[cfg(feature = "address")]
pub use rcmgr_address::{Addresses, BarePermit, Listing};

#[cfg(not(feature = "address"))]
pub use none::{Addresses, BarePermit, Listing};

#[cfg(not(feature = "address"))]
mod none {
    use std::net::IpAddr;
    use std::sync::Arc;

    use rcmgr_core::{AddressLimits, Clock, Endpoint, Error, LimitValue, PeerId, Result};

    #[derive(Debug)]
    pub struct Addresses(Allowlist);

    #[derive(Debug)]
    pub struct Allowlist;

    #[derive(Debug)]
    pub struct BarePermit;

    #[derive(Debug, PartialEq, Eq)]
    pub enum Listing {
        NotListed,
    }

    impl Addresses {
        pub fn new(_: AddressLimits, _: LimitValue, _: Arc<dyn Clock>) -> Self {
            Self(Allowlist)
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

        pub fn set(&self, _: AddressLimits, _: LimitValue) {}

        pub const fn allowlist(&self) -> &Allowlist {
            &self.0
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
