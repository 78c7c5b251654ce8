//! Requests that wait for room: who is served, when, and what ends a wait.

mod basics;
mod interplay;
mod support;
mod wakers;
