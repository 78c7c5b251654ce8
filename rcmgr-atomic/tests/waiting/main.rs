//! Requests that wait for room: who is served, when, and what ends a wait.

mod basics;
mod drops;
mod interplay;
mod memory;
mod order;
mod support;
mod user_code;
mod wakers;
