//! What can be seen of a network resource manager, while it runs and afterwards.
//!
//! | to learn about | see |
//! | --- | --- |
#![cfg_attr(
    feature = "observer",
    doc = "| what is read, and how much of it is shown | [`Observer`], by the feature `observer` |"
)]
#![cfg_attr(
    feature = "observer",
    doc = "| what is refused, told in the log | [`RefusalLog`], by the same feature |"
)]
#![cfg_attr(
    feature = "prometheus",
    doc = "| metrics for Prometheus, and what each of them is | [`prometheus`], by the default feature of that name |"
)]
#![cfg_attr(
    feature = "http",
    doc = "| a page that shows what goes on, and setting limits over HTTP | [`http`], by the feature of that name |"
)]
#![cfg_attr(
    feature = "opentelemetry",
    doc = "| the same for OpenTelemetry | [`opentelemetry`](mod@opentelemetry), by the feature of that name |"
)]
//! | a trace: what was asked for, granted and refused, event by event | [`trace`] |
//! | what a trace says, and what other limits would have made of it | [`replay`] |

#![forbid(unsafe_code)]
// An observer that shows nothing has no use for what it reads.
#![cfg_attr(
    all(
        feature = "observer",
        not(any(feature = "prometheus", feature = "opentelemetry"))
    ),
    allow(dead_code)
)]

#[cfg(feature = "observer")]
mod family;
#[cfg(feature = "observer")]
mod histogram;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "observer")]
mod label;
#[cfg(feature = "observer")]
mod observer;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
#[cfg(feature = "prometheus")]
pub mod prometheus;
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
pub use refusal_log::{RefusalLog, RefusalLogThread};
