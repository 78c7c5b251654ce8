//! Limit by remote address.
//!
//! Before any scope is asked, a connection's address is held against three things: the allowlist, how
//! many connections its subnets have, and how fast connections come from them. All of it can be
//! changed while the server runs.
//!
//! ```
//! use rcmgr::address::{NetworkLimit, Rate, RateLimits, SubnetLimit, SubnetLimits, SubnetRate};
//! use rcmgr::prelude::*;
//!
//! let manager = Manager::builder()
//!     .limits(Limits::unlimited())
//!     .addresses(AddressConfig {
//!         // These addresses have scopes of their own: a flood from others does not shut them out.
//!         allowlist: vec!["/ip4/192.0.2.0/ipcidr/24".parse()?],
//!         subnets: SubnetLimits {
//!             v4: vec![
//!                 SubnetLimit { prefix_len: 32, conns: 4 },
//!                 SubnetLimit { prefix_len: 24, conns: 64 },
//!             ],
//!             v4_networks: vec![NetworkLimit {
//!                 network: "10.0.0.0/8".parse()?,
//!                 conns: LimitValue::Unlimited,
//!             }],
//!             ..SubnetLimits::default()
//!         },
//!         rates: RateLimits {
//!             // 16 at once, then one every five seconds.
//!             v4: vec![SubnetRate {
//!                 prefix_len: 32,
//!                 rate: Rate { per_second: 0.2, burst: 16 },
//!             }],
//!             ..RateLimits::default()
//!         },
//!     })
//!     .build()?;
//!
//! let remote: std::net::SocketAddr = "198.51.100.7:4001".parse()?;
//! let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, remote);
//! let connections = (0..4).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
//! assert!(open().is_err());
//! assert_eq!(manager.addresses().stat().refused_by_subnet, 1);
//! # drop(connections);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - A connection counts in its subnets until it is closed.
//! - By default there are limits: 8 connections for an IPv4 address, 8 for an IPv6 /56 and 64 for a
//!   /48. Loopback has none.
//! - Behind a proxy all connections have the proxy's address. Then list the proxy in `v4_networks`, or
//!   pass the address that the proxy reports.
//! - Addresses of IPv6 are cheap to get, so limit their networks rather than single addresses.
