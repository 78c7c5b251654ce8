//! Runs `rcmgr guard` as a process: clients, reloads, the end, and what operators see.

#![cfg(target_os = "linux")]

mod clients;
mod ending;
mod limits;
mod process;
mod reload;
mod start;
mod view;
