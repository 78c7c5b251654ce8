//! Limits by remote address: how many connections an address may have, and how fast they may
//! arrive.
//!
//! These limits are checked before any scope, so they are the first defence against a flood. Every
//! decision is cheap. Memory is bounded by the number of open connections and of recently seen
//! subnets, not by the number of addresses that exist.
//!
//! | to learn about | see |
//! | --- | --- |
//! | all limits together, for an engine | [`Addresses`], created from [`AddressLimits`] |
//! | limits on open connections | [`SubnetLimits`], [`SubnetLimiter`], [`Permit`] |
//! | limits on the rate of new connections | [`RateLimits`], [`Rate`], [`RateLimiter`] |
//! | exceptions for trusted networks and peers | [`Allowlist`] |
//!
//! Both limiters first look for a *network prefix*: a network that the configuration names. The
//! most specific one that contains the address decides alone. Otherwise the address's subnets are
//! checked, one for each *subnet size* of its address family (for 2001:db8::7 its /56, then its
//! /48), most specific first. All of them must have room.
//!
//! Everywhere in this crate, an IPv6 address that carries an IPv4 address counts as the IPv4
//! address, for example `::ffff:192.0.2.7`, as a dual-stack socket reports an IPv4 peer: see
//! [`canonical_ip`](rcmgr_core::canonical_ip). A link-local address counts once for each zone.
#![forbid(unsafe_code)]

mod addresses;
mod allowlist;
mod bare_permit;
mod buckets;
mod limits_in_force;
mod meter;
mod most_refused;
mod permit;
mod quota;
mod rate_limiter;
mod rules;
mod shards;
mod stat;
mod subnet;
mod subnet_limiter;

pub use addresses::Addresses;
pub use allowlist::{Allowlist, Listing};
pub use bare_permit::BarePermit;
pub use ipnet;
pub use permit::Permit;
pub use rate_limiter::RateLimiter;
pub use rcmgr_core::address::{
    AddressConfig, AddressLimits, AllowlistEntry, NetworkLimit, NetworkRate, Rate, RateLimits,
    SubnetLimit, SubnetLimits, SubnetRate,
};
pub use stat::{AddressStat, RefusedNetwork};
pub use subnet_limiter::SubnetLimiter;
