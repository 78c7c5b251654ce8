//! The proxy over real sockets: its sessions, its limits, its reload and its end.

#![cfg(target_os = "linux")]

mod backends;
mod ending;
mod lowered_limits;
mod near_limit;
mod proxy_headers;
mod queue;
mod reload;
mod sessions;
mod support;
