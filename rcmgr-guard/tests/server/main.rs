//! The proxy over real sockets: its sessions, its limits, its reload and its end.

#![cfg(target_os = "linux")]

mod backends;
mod operations;
mod proxy_headers;
mod queue;
mod sessions;
mod support;
