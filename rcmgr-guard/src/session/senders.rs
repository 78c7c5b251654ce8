//! How many connections of each proxy in front wait for their header.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The maximum number of connections of one sender whose PROXY header is not read yet, for each
/// listener.
///
/// The limits by address do not apply to a sender before its header is read: this bound does.
pub const MOST_HEADERS_PER_SENDER: usize = 1024;

/// The senders whose headers a listener reads.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<IpAddr, usize>>);

impl Pending {
    /// Counts one more connection of a sender, if it has not as many as it may.
    pub(super) fn enter(&self, sender: IpAddr) -> Option<PendingHeader<'_>> {
        let mut senders = self.lock();
        let count = senders.entry(sender).or_default();
        if *count >= MOST_HEADERS_PER_SENDER {
            return None;
        }
        *count += 1;
        Some(PendingHeader {
            pending: self,
            sender,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose header is not read yet, until this is dropped.
#[derive(Debug)]
pub(super) struct PendingHeader<'a> {
    pending: &'a Pending,
    sender: IpAddr,
}

impl Drop for PendingHeader<'_> {
    fn drop(&mut self) {
        let mut senders = self.pending.lock();
        if let Some(count) = senders.get_mut(&self.sender) {
            *count -= 1;
            if *count == 0 {
                senders.remove(&self.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_may_have_so_many_connections_without_a_header_and_others_have_their_own() {
        let pending = Pending::default();
        let sender = IpAddr::from([10, 0, 0, 1]);
        let held = (0..MOST_HEADERS_PER_SENDER).map(|_| pending.enter(sender).unwrap());
        let mut held = Vec::from_iter(held);
        assert!(pending.enter(sender).is_none());
        assert!(pending.enter(IpAddr::from([10, 0, 0, 2])).is_some());
        held.pop();
        assert!(pending.enter(sender).is_some());
        drop(held);
        assert!(pending.lock().is_empty());
    }
}
