//! What can be seen of a network resource manager, while it runs and afterwards.
//!
//! | to learn about | see |
//! | --- | --- |
//! | what is read, and how much of it is shown | [`Observer`] |
#![cfg_attr(
    feature = "prometheus",
    doc = "| metrics for Prometheus, and what each of them is | [`prometheus`], by the default feature of that name |"
)]
#![cfg_attr(
    feature = "http",
    doc = "| a page that shows what goes on, and setting limits over HTTP | [`http`], by the feature of that name |"
)]
#![forbid(unsafe_code)]

mod family;
mod histogram;
#[cfg(feature = "http")]
pub mod http;
mod label;
mod observer;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod reading;
mod usage;

pub use observer::Observer;
