//! What a refused client gets, and what it costs the server.

mod bounds;
mod flood;
mod over_tcp;
