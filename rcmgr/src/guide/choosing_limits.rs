//! Find limits that fit.
//!
//! There are three starting points, from the simplest to the most exact:
//!
//! | you know | use |
//! | --- | --- |
//! | how much the server may use | [`Budget`](crate::Budget) |
//! | only the machine or the container | `ScalingLimits::server().auto_scale()`, by the feature `auto-scale`: an eighth of its memory and half of its file descriptors |
//! | each number | [`Limits::unlimited`](crate::Limits::unlimited), then set the fields |
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! let budget = Budget { memory: 512 * MIB, fds: 4096 };
//! let mut limits = budget.limits_of(&rcmgr::ScalingLimits::server());
//! limits.peer_default.conns_inbound = 8.into();
//! limits.peer_default.memory = (16 * MIB).into();
//! # let _ = limits;
//! ```
//!
//! A file can override any of them, so that an operator can change limits without a build:
//!
//! ```
//! use rcmgr::LimitsFile;
//! use rcmgr::prelude::*;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("limits.toml");
//! # std::fs::write(&path, "[PeerDefault]\nConnsInbound = 8")?;
//! let budget = Budget { memory: 512 * MIB, fds: 4096 };
//! let defaults = budget.limits_of(&rcmgr::ScalingLimits::server());
//! let limits = LimitsFile::read(&path)?.limits.build(&defaults);
//! for warning in limits.warnings(None) {
//!     eprintln!("{warning}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which fields matter
//!
//! - `system`: all together. Memory and file descriptors come from the machine.
//! - `transient`: connections and streams that are not attached yet. Strangers fill it, so keep it well
//!   below `system`.
//! - `peer_default`: any one peer. It decides how much one client can take from the others.
//! - `conn`, `stream`: any one connection or stream. A bug in one of them then stays there.
//! - `service_default`, `protocol_default` and their peers: where parts of the program compete.
//!
//! To try limits on a running server before they refuse anything, evaluate them in a dry run:
//! [`Builder::dry_run`](crate::Builder::dry_run), or the table `DryRun` of a file.
//!
//! A limit that is never reached costs nothing. To see which limits real load needs, write a
//! trace and let `trace::replay` suggest them (feature `trace`).
//!
//! The examples `limits_from_file` and `trace_and_replay` show both.
