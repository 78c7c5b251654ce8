//! The answers to refused clients, and their bounds.

mod bounds;
mod flood;
mod over_tcp;
