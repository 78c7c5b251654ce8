//! Runs `rcmgr guard` as a process: clients, reloads, the end, and what operators see.

#![cfg(target_os = "linux")]

mod ending;
mod limits;
mod reload;
mod start;
mod support;
mod view;
