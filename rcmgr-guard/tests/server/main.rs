//! The proxy over real sockets: its sessions, its limits, its reload and its end.

#![cfg(target_os = "linux")]

mod sessions;
mod support;
