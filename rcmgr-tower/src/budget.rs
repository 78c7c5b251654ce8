//! How much the body of a request may take, and how long.

use std::time::Duration;

use rcmgr_core::Amount;

/// The budget of the body of each request.
///
/// Each chunk of a body is charged on the span of its request when it arrives, before the handler
/// gets it. So all bodies together stay within the limits of the connection, the service and the
/// system.
///
/// ```
/// use std::time::Duration;
/// use rcmgr_core::MIB;
/// use rcmgr_tower::BodyBudget;
///
/// // For handlers that collect the body, such as JSON.
/// let collected = BodyBudget::per_request(8 * MIB).wait(Duration::from_millis(200));
///
/// // For handlers that pass on each chunk before they ask for the next, such as an upload to disk.
/// let streamed = BodyBudget::per_request(2048 * MIB)
///     .streamed()
///     .next_chunk_within(Duration::from_secs(10));
/// # let _ = (collected, streamed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyBudget {
    pub(crate) per_request: u64,
    pub(crate) wait: Duration,
    pub(crate) is_streamed: bool,
    pub(crate) chunk_within: Option<Duration>,
    pub(crate) slowest: Option<(u64, Duration)>,
}

impl BodyBudget {
    /// A body may have at most this many bytes. A longer one is refused with 413: at once if
    /// `Content-Length` is higher, otherwise when the first byte too many arrives. `u64::MAX` sets no
    /// maximum.
    ///
    /// What has arrived stays charged until the request ends: with the last byte of the response, or
    /// when the last clone of the [`RequestSpan`](crate::RequestSpan) is dropped. That is right for
    /// handlers that collect the body. For others, see [`streamed`](Self::streamed).
    ///
    /// A chunk is charged with its data alone. A handler that keeps each chunk as it is takes some
    /// dozens of bytes more for each. So where a client may send very small chunks, copy them into one
    /// buffer, as the extractors of axum do.
    pub fn per_request(bytes: impl Amount) -> Self {
        Self {
            per_request: bytes.bytes(),
            wait: Duration::ZERO,
            is_streamed: false,
            chunk_within: None,
            slowest: None,
        }
    }

    /// Charges only the chunk that arrived last: its memory is given back when the handler asks for
    /// the next one or drops the body. For handlers that do not keep the chunks, such as an upload to
    /// disk. The maximum length of a body stays.
    pub fn streamed(mut self) -> Self {
        self.is_streamed = true;
        self
    }

    /// If there is no room for a chunk, waits up to this long for it, each time, before the request
    /// is refused with 503. Meanwhile nothing more is read from the client. The time is shortened by
    /// a random part of up to an eighth, so that bodies that wait for each other do not give up
    /// together. By default nothing waits.
    ///
    /// A chunk that would not fit even if nothing else held memory does not wait. While a chunk waits
    /// in a full scope, new requests of its priority or a lower one are refused there: they would
    /// overtake it.
    ///
    /// It needs a tokio runtime with its timer enabled, as every tokio server has.
    pub fn wait(mut self, longest: Duration) -> Self {
        self.wait = longest;
        self
    }

    /// Refuses a body with 408 if the handler has waited this long for its next chunk. By default a
    /// body may stall for ever.
    ///
    /// Time in which the handler does not wait for the body does not count.
    ///
    /// It needs a tokio runtime with its timer enabled, as every tokio server has.
    pub fn next_chunk_within(mut self, longest: Duration) -> Self {
        self.chunk_within = Some(longest);
        self
    }

    /// Refuses a body with 408 if it arrives more slowly than this many bytes per second, on average
    /// over the time in which the handler waited for it. The first `grace` of that time is free. A
    /// client that sends one byte at a time meets every deadline of
    /// [`next_chunk_within`](Self::next_chunk_within), but not this one.
    ///
    /// A rate of zero sets no minimum.
    ///
    /// It needs a tokio runtime with its timer enabled, as every tokio server has.
    pub fn no_slower_than(mut self, bytes_per_second: impl Amount, grace: Duration) -> Self {
        let rate = bytes_per_second.bytes();
        self.slowest = (rate > 0).then_some((rate, grace));
        self
    }
}
