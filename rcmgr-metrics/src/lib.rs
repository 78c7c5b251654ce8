//! Observability for a network resource manager, at run time and from traces.
//!
//! | to learn about | see |
//! | --- | --- |
#![cfg_attr(
    feature = "observer",
    doc = "| reading a manager, and bounds on the output | [`Observer`], with the feature `observer` |"
)]
#![cfg_attr(
    feature = "observer",
    doc = "| refusals in the log | [`RefusalLog`], with the same feature |"
)]
#![cfg_attr(
    feature = "prometheus",
    doc = "| metrics for Prometheus, with a description of each | [`prometheus`], with the default feature of that name |"
)]
#![cfg_attr(
    feature = "http",
    doc = "| a live view as a web page, and setting limits over HTTP | [`http`], with the feature of that name |"
)]
#![cfg_attr(
    feature = "opentelemetry",
    doc = "| the same metrics for OpenTelemetry | [`opentelemetry`](mod@opentelemetry), with the feature of that name |"
)]
//! | traces: every request, grant and refusal as an event | [`trace`] |
//! | a summary of a trace, and its replay under other limits | [`replay`] |

#![forbid(unsafe_code)]
// Without an exporter nothing uses the values that the observer reads.
#![cfg_attr(
    all(
        feature = "observer",
        not(any(feature = "prometheus", feature = "opentelemetry"))
    ),
    allow(dead_code)
)]

mod counters;
#[cfg(feature = "observer")]
mod family;
#[cfg(feature = "observer")]
mod histogram;
#[cfg(feature = "http")]
pub mod http;
mod json;
#[cfg(feature = "observer")]
mod label;
#[cfg(feature = "observer")]
mod observer;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
#[cfg(feature = "observer")]
mod program;
#[cfg(feature = "prometheus")]
pub mod prometheus;
#[cfg(feature = "observer")]
mod reached;
#[cfg(feature = "observer")]
mod reading;
#[cfg(feature = "observer")]
mod refusal_log;
pub mod replay;
pub mod trace;
#[cfg(feature = "observer")]
mod usage;

#[cfg(feature = "observer")]
pub use observer::Observer;
#[cfg(feature = "observer")]
pub use program::ProgramCounter;
#[cfg(feature = "observer")]
pub use refusal_log::{RefusalLog, RefusalLogThread};
