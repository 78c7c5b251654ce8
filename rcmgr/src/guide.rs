//! The tasks of a server, one page each.
//!
//! | task | page |
//! | --- | --- |
//! | Accept connections from strangers | [`accept_loop`] |
//! | Find limits that fit | [`choosing_limits`] |
//! | Limit by remote address | [`by_address`] |
//! | Charge streams, requests and buffers | [`streams_and_memory`] |
//! | Handle a refusal | [`refusals`] |
//! | Watch a server | [`watching`] |
//! | Change limits while the server runs | [`changing_limits`] |
//! | Close a server | [`closing`] |
//! | Test a server | [`testing`] |

pub mod accept_loop;
pub mod by_address;
pub mod changing_limits;
pub mod choosing_limits;
pub mod closing;
pub mod refusals;
pub mod streams_and_memory;
pub mod testing;
pub mod watching;
