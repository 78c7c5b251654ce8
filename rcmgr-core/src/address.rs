//! Limits by remote address as plain values: the configuration of the limiters in `rcmgr-address`.

mod allowlist_entry;
mod check;
mod config;
mod limits;
mod network;
mod rate_limits;
mod subnet_limits;

pub use allowlist_entry::AllowlistEntry;
pub use config::AddressConfig;
pub use limits::AddressLimits;
pub use network::{canonical_ip, canonical_ip_with, canonical_network, canonical_network_with};
pub use rate_limits::{NetworkRate, Rate, RateLimits, SubnetRate};
pub use subnet_limits::{NetworkLimit, SubnetLimit, SubnetLimits};
