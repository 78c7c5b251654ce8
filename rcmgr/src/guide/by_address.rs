//! Limit by remote address.
//!
//! Before any scope is asked, a connection's address is checked: how many connections its subnets
//! have, and how fast connections come from them. Addresses in trusted networks are not limited. All
//! of it is part of [`Limits`](crate::Limits), so it comes from files, and changes while the server
//! runs.
//!
//! ```
//! use rcmgr::address::{AddressConfig, AddressLimits, Rate, RateLimits, SubnetLimit, SubnetLimits, SubnetRate};
//! use rcmgr::prelude::*;
//!
//! let mut limits = Limits::unlimited();
//! limits.addresses = AddressLimits::new(AddressConfig {
//!     // In addition to loopback.
//!     trusted: vec!["10.0.0.0/8".parse()?],
//!     // These addresses have scopes of their own: a flood from others does not shut them out.
//!     allowlist: vec!["192.0.2.0/24".parse()?],
//!     subnets: SubnetLimits {
//!         v4: vec![
//!             SubnetLimit { prefix_len: 32, conns: 4 },
//!             SubnetLimit { prefix_len: 24, conns: 64 },
//!         ],
//!         ..SubnetLimits::none()
//!     },
//!     rates: RateLimits {
//!         // 16 at once, then one every five seconds.
//!         v4: vec![SubnetRate {
//!             prefix_len: 32,
//!             rate: Rate { per_second: 0.2, burst: 16 },
//!         }],
//!         ..RateLimits::none()
//!     },
//!     ..AddressConfig::default()
//! })?;
//! let manager = Manager::new(limits)?;
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
//! - By default nothing is limited by address. `ScalingLimits::server()` allows 16 connections for an
//!   IPv4 address and for an IPv6 /56, and 128 for a /48. No preset limits rates.
//! - Loopback is trusted by default, so a test on one machine never reaches these limits.
//! - Behind a proxy all connections have the proxy's address. Then trust the proxy, or pass the address
//!   that the proxy reports.
//! - Addresses of IPv6 are cheap to get, so limit their networks rather than single addresses.
