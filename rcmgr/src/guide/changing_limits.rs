//! Change limits while the server runs.
//!
//! All limits are replaced at once. Usage above a lowered limit stays; only new requests are
//! refused:
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! let manager = Manager::new(Limits::unlimited())?;
//! let mut limits = Limits::clone(&manager.limits());
//! limits.system.conns_inbound = 1000.into();
//! manager.set_limits(limits);
//! # Ok::<(), Error>(())
//! ```
//!
//! One scope can have an override. That of a peer or a protocol is kept by name, until it is reset:
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! # let manager = Manager::new(Limits::unlimited())?;
//! let peer: PeerId = "tenant-7".parse()?;
//! let scope = manager.view_peer(&peer);
//! let generous = Limit { memory: (64 * MIB).into(), ..scope.limit() };
//! scope.set_limit(generous);
//! // ...
//! scope.reset_limit();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Follow a file
#![cfg_attr(
    feature = "reload",
    doc = r##"
A [`LimitsWatcher`](crate::config::reload::LimitsWatcher) reads a file again whenever it changes. A file
with an error changes nothing, and is reported with file and line:

```
use rcmgr::config::reload::LimitsWatcher;
use rcmgr::prelude::*;

# let folder = tempfile::tempdir()?;
# let path = folder.path().join("limits.toml");
# std::fs::write(&path, "[System]\nConns = 128")?;
let defaults = Budget { memory: 512 * MIB, fds: 4096 }.limits();
let manager = Manager::new(defaults.clone())?;
let watcher = LimitsWatcher::start(&path, defaults, {
    let manager = manager.clone();
    move |limits| manager.set_limits(limits)
})?; // until it is dropped
assert_eq!(manager.limits().system.conns, LimitValue::Limited(128));
# drop(watcher);
# Ok::<(), Box<dyn std::error::Error>>(())
```
"##
)]
//! This needs the feature `reload`. The example `reload` shows a file with an error, too.
