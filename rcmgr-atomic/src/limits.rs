//! Limits as the engine compares with them: two slots each, and a version that says which slot
//! counts. And the limits by address, which are checked before the scopes.

mod addresses;
mod limit_override;
mod limit_reached;
mod slots;
mod version;
mod whole_limit;

pub use addresses::{Addresses, BarePermit, Listing, check_support};
pub use limit_override::LimitOverride;
pub use limit_reached::LimitReached;
pub use slots::{LimitSlots, UNLIMITED, decode};
pub use version::{CurrentVersion, LimitsVersion};
pub use whole_limit::WholeLimit;
