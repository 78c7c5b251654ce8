//! A session: a client that is admitted, connected to a backend, and relayed.
//!
//! 1. A sender of PROXY headers is read from, in the transient scope. Then its connection is given back
//!    and opened anew for the client that the header names.
//! 2. The manager admits the connections to the client and to the backend, both or neither. Where the
//!    scopes that clients share have no room, the client may wait in a line.
//! 3. A backend is connected to.
//! 4. Bytes are relayed, until both sides have ended or the session is cut.

mod admission;
mod client;
mod door;
mod front;
mod line;
mod listening;
mod near_limit;
mod running;
mod senders;
mod serve;
mod setup;
mod shared;
mod table;
mod waiting;

pub(crate) use self::door::Door;
pub(crate) use self::front::Front;
pub(crate) use self::listening::{Listening, listen};
pub use self::senders::MOST_HEADERS_PER_SENDER;
pub(crate) use self::shared::{Open, Shared};
pub(crate) use self::table::{Entry, Table};
