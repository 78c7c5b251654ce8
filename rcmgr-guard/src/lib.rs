//! A TCP proxy in front of any server: it admits each connection with a resource manager, and passes
//! the bytes on unchanged.
//!
//! A proxied connection is two connections in the manager: an inbound one with the address of the
//! client as its peer, and an outbound one to the backend. Both belong to the service of the
//! listener, and each uses a file descriptor.
//!
//! | to | see |
//! | --- | --- |
//! | say what is guarded, and how | [`Settings`], [`Listen`] |
//! | read this and the limits from a file, and follow it | [`GuardFile`] |
//! | listen on sockets that systemd opened | `Inherited` (Unix) |
//! | find how many connections the file descriptors allow | [`Descriptors`] |

#![forbid(unsafe_code)]

mod descriptors;
mod file;
#[cfg(unix)]
mod inherited;
mod limits;
mod settings;
pub mod values;

pub use descriptors::{Descriptors, TooHigh};
pub use file::GuardFile;
#[cfg(unix)]
pub use inherited::Inherited;
pub use limits::limits;
pub use settings::{
    Listen, OnRefusal, Overflow, ProxyProtocol, ProxyVersion, Queue, Settings, Timeouts, Workers,
};
