//! The answer to a refused client: a close, a reset, or a short reply.

mod refused;
mod reply;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rcmgr_core::{Endpoint, Error};

pub(crate) use refused::Refused;
pub(crate) use reply::Replies;

/// The answer of [`Guarded`](crate::Guarded) to a client whose connection the manager refuses.
///
/// ```
/// use rcmgr_core::Error;
/// use rcmgr_tokio::Refusal;
///
/// let refusal = Refusal::with(|error, peer| {
///     println!("{peer}: {error}");
///     match error {
///         Error::RateLimit(_) => Refusal::Reset,
///         _ => Refusal::Reply(b"busy\r\n"),
///     }
/// });
/// # drop(refusal);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Refusal {
    /// The connection is closed.
    #[default]
    Close,
    /// The connection is reset: the client sees an error at once, and the operating system keeps
    /// nothing of the connection. A listener that cannot reset closes.
    Reset,
    /// The client gets these bytes, and then the end of the stream.
    ///
    /// So that the reply arrives, the connection is closed after the client has closed its side, or
    /// has sent 64 KiB, or after a second. At most 64 connections of a listener wait so at a time; with
    /// more, the reply is sent and the connection is closed at once. Then the reply may be lost if the
    /// client has sent something. The manager does not count the descriptors of these connections, but
    /// [`descriptors_in_reserve`](crate::Guarded::descriptors_in_reserve) keeps descriptors free for
    /// them.
    Reply(&'static [u8]),
    /// The same, with bytes that are not known when the program is compiled.
    ReplyBytes(Bytes),
    /// A function decides for each connection: see [`Refusal::with`].
    With(Decide),
}

impl Refusal {
    /// Calls a function with the error and the remote endpoint of each refused connection. The result
    /// of the function is the answer. The function runs in the accept loop, so it must not block. If it
    /// returns another [`With`](Self::With), the connection is closed.
    pub fn with(decide: impl Fn(&Error, Endpoint) -> Self + Send + Sync + 'static) -> Self {
        Self::With(Decide(Arc::new(decide)))
    }

    /// How many sockets it may keep open after the refusal.
    pub(crate) const fn sockets(&self) -> u64 {
        match self {
            Self::Close | Self::Reset => 0,
            Self::Reply(_) | Self::ReplyBytes(_) | Self::With(_) => reply::MOST_SOCKETS as u64,
        }
    }

    /// The answer to one client.
    pub(crate) fn answer(&self, error: &Error, peer: Endpoint) -> Answer {
        match self {
            Self::With(Decide(decide)) => decide(error, peer).fixed_answer(),
            _ => self.fixed_answer(),
        }
    }

    /// The answer without a function.
    fn fixed_answer(&self) -> Answer {
        match self {
            Self::Close | Self::With(_) => Answer::Close,
            Self::Reset => Answer::Reset,
            Self::Reply(bytes) => Answer::Reply(Bytes::from_static(bytes)),
            Self::ReplyBytes(bytes) => Answer::Reply(bytes.clone()),
        }
    }
}

/// The function of [`Refusal::with`].
#[derive(Clone)]
pub struct Decide(Arc<DecideFn>);

type DecideFn = dyn Fn(&Error, Endpoint) -> Refusal + Send + Sync;

impl fmt::Debug for Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decide").finish_non_exhaustive()
    }
}

/// The answer to one refused client.
#[derive(Debug)]
pub(crate) enum Answer {
    Close,
    Reset,
    Reply(Bytes),
}
