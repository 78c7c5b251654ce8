//! Charge streams, requests and buffers.
//!
//! # Buffers
//!
//! Reserve memory before it is allocated. The guard releases it when it is dropped:
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! # let manager = Manager::new(Limits::unlimited())?;
//! # let connection =
//! #     manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
//! let held = connection.reserve(16 * KIB, Priority::Medium)?;
//! let buffer = vec![0u8; held.size() as usize];
//! assert_eq!(manager.stat().system.memory, 16 * KIB);
//! drop((buffer, held));
//! assert_eq!(manager.stat().system.memory, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The priority says how full a scope may be for the reservation to be granted: `Low` 40 %, `Medium`
//! 60 %, `High` 80 % of its limit, `Always` all of it. Work that can be refused without harm gets a low
//! priority, so that work that must go on still finds room.
//!
//! # Streams
//!
//! Where a connection carries many streams, each is a scope of its own. It learns its protocol first,
//! then its service:
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! # let manager = Manager::new(Limits::unlimited())?;
//! let peer: PeerId = "tenant-7".parse()?;
//! let stream = manager.open_stream(&peer, Direction::Inbound)?;
//! stream.set_protocol("/echo/1.0.0")?;
//! stream.set_service("echo")?;
//! let buffer = stream.reserve(4 * KIB, Priority::Medium)?;
//! assert_eq!(manager.stat().services["echo"].memory, 4 * KIB);
//! # drop(buffer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The names of services are the program's own. Never take them from a remote: the scope of a service
//! lives as long as the manager.
//!
//! # Requests
//!
//! A span is a part of a scope that is released as a whole, however many reservations it holds:
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! # let manager = Manager::new(Limits::unlimited())?;
//! # let connection =
//! #     manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
//! let request = connection.begin_span()?;
//! request.reserve_memory(16 * KIB, Priority::Medium)?;
//! request.reserve_memory(8 * KIB, Priority::Medium)?;
//! drop(request);
//! assert_eq!(connection.stat().memory, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The examples `streams_and_protocols` and `spans` show more.
