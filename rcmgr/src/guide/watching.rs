//! Watch a server.
//!
//! | to see | use | feature |
//! | --- | --- | --- |
//! | usage now, in the program | `manager.stat()`, [`Manager::scopes`](crate::Manager::scopes) | |
//! | usage and refusals over time | `metrics::Observer`, for Prometheus or OpenTelemetry | `metrics`, `opentelemetry` |
//! | refusals in the log, summed up | `metrics::RefusalLog` | `metrics` |
//! | everything in a browser or a terminal | `metrics::http::router` | `http` |
//! | each operation, for later | `trace::TraceSink` | `trace` |
//!
//! All of them but traces read the manager when they are asked, so reservations pay nothing for them.
#![cfg_attr(
    feature = "metrics",
    doc = r##"
```
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcmgr::metrics::Observer;
use rcmgr::prelude::*;

let manager = Manager::new(Limits::unlimited())?;
let mut registry = Registry::default();
registry.register_collector(Box::new(Observer::new(manager)));

let mut page = String::new();
encode(&mut page, &registry)?; // the manager is read now
assert!(page.contains("libp2p_rcmgr_fds{scope=\"system\"} 0"));
# Ok::<(), Box<dyn std::error::Error>>(())
```
"##
)]
//!
//! Refusals in the log, one line for each kind and minute however many there are:
#![cfg_attr(
    feature = "metrics",
    doc = r##"
```
use std::time::Duration;

use rcmgr::metrics::RefusalLog;
use rcmgr::prelude::*;

let manager = Manager::new(Limits::unlimited())?;
let log = RefusalLog::new(manager)
    .interval(Duration::from_secs(60))
    .start(Duration::from_secs(1))?; // until it is dropped
# drop(log);
# Ok::<(), Box<dyn std::error::Error>>(())
```
"##
)]
//!
//! The examples `metrics` and `trace_and_replay` show more.
