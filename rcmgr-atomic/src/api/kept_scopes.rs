//! The scopes of a stream, kept for the next stream.

use std::fmt;

use crate::engine::Path;
use crate::lifetime::{Shared, Use};

/// Keeps the scopes of a stream, so that the next stream on the same scopes need not make them:
/// [`Stream::keep_scopes`](crate::Stream::keep_scopes) makes it.
///
/// A scope of a peer or protocol is removed as soon as nothing uses it. So if a peer opens streams
/// one after the other, the scopes of its protocol are made for each stream and removed with it. That
/// takes several times as long as opening, charging and closing the stream itself.
///
/// While this value exists, its scopes stay listed, with zero usage if nothing is open. It holds no
/// resource, and no limit counts it. What the manager has charged on these scopes in advance (credit)
/// is recalled when a limit needs it, as always. The scopes take about 3 KB of memory, so a program
/// that keeps scopes should bound how many.
///
/// Dropping it removes the scopes that nothing else uses. It may be dropped on any thread, after the
/// stream and after the manager.
///
/// ```
/// use rcmgr_atomic::{Direction, Limits, Manager};
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let peer = "tenant-7".parse()?;
/// let stream = manager.open_stream(&peer, Direction::Inbound)?;
/// stream.set_protocol("/ipfs/kad/1.0.0")?;
///
/// let kept = stream.keep_scopes()?;
/// drop(stream);
/// assert_eq!(manager.peers(), [peer]);
/// assert!(manager.stat().system.is_zero());
///
/// drop(kept);
/// assert!(manager.peers().is_empty() && manager.protocols().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the scopes are kept until it is dropped"]
pub struct KeptScopes {
    path: Use<Path>,
}

impl KeptScopes {
    /// Keeps the nodes of this path. `None` if the path has no use any longer.
    ///
    /// # Panics
    ///
    /// If 2²⁶ of them were forgotten (`mem::forget`) on this path.
    pub(super) fn of(path: &Shared<Path>) -> Option<Self> {
        // Nothing in memory belongs to this value, and anyone may forget it. So it is a clone: the
        // number of clones is bounded.
        let path = path.try_join()?.clone();
        Some(Self { path })
    }

    pub(super) fn path(&self) -> &Shared<Path> {
        &self.path
    }
}

impl fmt::Debug for KeptScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.path.iter().map(|node| node.id().to_string());
        f.debug_tuple("KeptScopes")
            .field(&names.collect::<Vec<_>>())
            .finish()
    }
}
