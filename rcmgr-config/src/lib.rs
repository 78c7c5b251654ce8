//! Limits for rcmgr, a network resource manager: from files, from a budget, from presets and from
//! the machine; and limits that follow a file.
//!
//! | to learn about | see | feature |
//! | --- | --- | --- |
//! | limits from a budget of memory and file descriptors | [`Budget`] | |
//! | limits that scale with the machine, and presets | [`ScalingLimits`] | |
//! | limits whose unset fields take a default | [`PartialLimits`] | |
//! | warnings about limits that contradict each other | [`LimitsExt::warnings`] | |
//! | sizes in bytes with a unit | [`ByteSize`] | |
#![cfg_attr(
    feature = "files",
    doc = "| limits in JSON and TOML | [`LimitsFile`] | `files` |"
)]
#![cfg_attr(
    feature = "reload",
    doc = "| limits that follow a file | [`reload`] | `reload` |"
)]
#![cfg_attr(
    feature = "auto-scale",
    doc = "| limits for this machine | [`LimitsExt::auto_scale`], [`Machine::detect`] | `auto-scale` |"
)]
//!
//! All features are on by default. The limits themselves are [`rcmgr_core::Limits`].
#![forbid(unsafe_code)]

mod addresses;
mod budget;
#[cfg(feature = "files")]
mod file;
mod limits_ext;
mod machine;
mod partial_limit;
mod partial_limits;
mod per_scope;
mod presets;
#[cfg(feature = "reload")]
pub mod reload;
mod scaling;
mod size;
mod warning;

pub use addresses::{AddressKey, AddressList, AddressValue, PartialAddresses, address_settings};
pub use budget::Budget;
#[cfg(feature = "files")]
pub use file::{FileFormat, LimitsFile, LimitsFileErrors, nearest};
pub use limits_ext::LimitsExt;
pub use machine::Machine;
pub use partial_limit::PartialLimit;
pub use partial_limits::PartialLimits;
pub use per_scope::PerScope;
pub use scaling::{LimitIncrease, ScalingLimit, ScalingLimits};
pub use size::{ByteSize, ByteSizeError};
pub use warning::{Setting, Warning, WarningKind};
