//! Accepting until the graceful end of a server begins.

use crate::accept::Accept;
use crate::graceful::Graceful;
use crate::listener::Guarded;
use crate::stream::GuardedStream;

impl Graceful {
    /// The next connection of a listener, which is counted; `None` once the end has begun. Then drop
    /// the listener: its clients go elsewhere.
    ///
    /// A server that leaves the accepting to a framework calls [`Guarded::ended_by`] instead, and
    /// stops the framework with the [notice](Self::notice).
    pub async fn accept<L: Accept>(&self, listener: &Guarded<L>) -> Option<GuardedStream<L::Io>> {
        let notice = self.notice();
        let accept = notice.run_until_cancelled(listener.accept());
        let stream = accept.await?;
        Some(stream.ended_by(self))
    }
}
