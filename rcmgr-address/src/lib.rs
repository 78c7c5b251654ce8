//! Limits by remote address: who may open how many connections, and how fast.
//!
//! This is asked before any scope is, so it is what a flood meets first: every answer is cheap, and
//! memory is bounded by what is open or was seen lately, never by how many addresses there are.
//!
//! | to learn about | see |
//! | --- | --- |
//! | all of it together, as an engine holds it | [`Addresses`], made from an [`AddressConfig`] |
//! | how many connections at a time | [`SubnetLimits`], [`SubnetLimiter`], [`Permit`] |
//! | how many connections a second | [`RateLimits`], [`Rate`], [`RateLimiter`] |
//! | who is let in all the same | [`Allowlist`] |
//!
//! Both limiters look for a *network prefix* first: a network that was named in the configuration.
//! The most specific one that contains the address decides alone. Where there is none, the
//! address's subnet is looked at in each of the family's *subnet sizes* (of 2001:db8::7 the /56,
//! then the /48), most specific first, and all of them must agree.
//!
//! An IPv6 address that stands for one of IPv4 (`::ffff:192.0.2.7`, as a dual-stack socket shows
//! its IPv4 peers) counts as that IPv4 address everywhere here.
#![forbid(unsafe_code)]

mod addresses;
mod allowlist;
mod allowlist_entry;
mod bare_permit;
mod buckets;
mod meter;
mod permit;
mod rate_limiter;
mod rate_limits;
mod rules;
mod shards;
mod subnet;
mod subnet_limiter;
mod subnet_limits;

pub use addresses::{AddressConfig, AddressStat, Addresses};
pub use allowlist::Allowlist;
pub use allowlist_entry::AllowlistEntry;
pub use bare_permit::BarePermit;
pub use ipnet;
pub use permit::Permit;
pub use rate_limiter::RateLimiter;
pub use rate_limits::{NetworkRate, Rate, RateLimits, SubnetRate};
pub use subnet_limiter::SubnetLimiter;
pub use subnet_limits::{NetworkLimit, SubnetLimit, SubnetLimits};
