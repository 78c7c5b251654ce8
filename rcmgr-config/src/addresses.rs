//! Limits by address in limits files: the name of each setting, and settings that may be unset.

mod key;
mod partial;

pub use key::{AddressKey, AddressList, AddressValue, address_settings};
pub use partial::PartialAddresses;
