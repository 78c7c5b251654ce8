//! The PROXY protocol: headers of HAProxy, pitfalls, the reader, and other parsers beside ours.

mod fuzz;
mod haproxy;
mod headers;
mod other_parsers;
mod pitfalls;
mod reading;
mod senders;
