//! A TCP proxy in front of any server: it admits each connection with a resource manager, and passes
//! the bytes on unchanged.
//!
//! A proxied connection is two connections in the manager: an inbound one, whose peer is the address
//! of the client or its IPv6 network of 64 bits, and an outbound one to the backend. Both belong to
//! the service of the listener, and each uses a file descriptor.
//!
//! | to | see |
//! | --- | --- |
//! | say what is guarded, and how | [`Settings`], [`Listen`] |
//! | run it, change it while it runs, and end it | [`Server`] |
//! | read this and the limits from a file, and follow it | [`GuardFile`] |
//! | listen on sockets that systemd opened | `Inherited` (Unix) |
//! | find how many connections the file descriptors allow | [`Descriptors`] |
//! | read and write headers of the PROXY protocol | [`proxy_protocol`] |

#![forbid(unsafe_code)]

mod backends;
mod counts;
mod descriptors;
mod file;
#[cfg(unix)]
mod inherited;
mod limits;
pub mod proxy_protocol;
mod relay;
mod server;
mod session;
mod settings;
pub mod values;

pub use counts::{Count, Counts};
pub use descriptors::{Descriptors, TooHigh};
pub use file::GuardFile;
#[cfg(unix)]
pub use inherited::Inherited;
pub use limits::limits;
pub use server::{Drained, Server};
pub use session::MOST_HEADERS_PER_SENDER;
pub use settings::{
    Listen, NearLimit, OnRefusal, Overflow, ProxyProtocol, ProxyVersion, Queue, Settings, Timeouts,
    Workers,
};
