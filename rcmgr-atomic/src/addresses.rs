//! Limits by remote address: those of `rcmgr-address`, and without the feature `address` a stand-in
//! that admits every address, so that the engine reads the same.

#[cfg(feature = "address")]
pub use rcmgr_address::{AddressConfig, Addresses, BarePermit};

#[cfg(not(feature = "address"))]
pub(crate) use none::{AddressConfig, Addresses, BarePermit};

#[cfg(not(feature = "address"))]
mod none {
    use std::net::IpAddr;
    use std::sync::Arc;

    use rcmgr_core::{Clock, Endpoint, LimitValue, PeerId, Result};

    #[derive(Debug, Default)]
    pub(crate) struct AddressConfig {}

    #[derive(Debug)]
    pub(crate) struct Addresses(Allowlist);

    #[derive(Debug)]
    pub(crate) struct Allowlist;

    #[derive(Debug)]
    pub(crate) struct BarePermit;

    impl Addresses {
        pub(crate) fn new(_: AddressConfig, _: LimitValue, _: Arc<dyn Clock>) -> Result<Self> {
            Ok(Self(Allowlist))
        }

        pub(crate) fn admit_bare(&self, _: Endpoint) -> Result<BarePermit> {
            Ok(BarePermit)
        }

        pub(crate) fn give_back(&self, _: &BarePermit) {}

        pub(crate) fn give_back_last(&self, _: &mut BarePermit) {}

        pub(crate) fn verify_source_address(&self, _: IpAddr) -> bool {
            false
        }

        pub(crate) fn set_allowlisted_conns(&self, _: LimitValue) {}

        pub(crate) const fn allowlist(&self) -> &Allowlist {
            &self.0
        }
    }

    impl Allowlist {
        pub(crate) fn allows_ip(&self, _: IpAddr) -> bool {
            false
        }

        pub(crate) fn allows(&self, _: &PeerId, _: IpAddr) -> bool {
            false
        }
    }

    impl BarePermit {
        pub(crate) const fn none() -> Self {
            Self
        }
    }
}
