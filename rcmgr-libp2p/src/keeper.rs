//! Scopes that connections keep for their next streams.
//!
//! The manager removes a scope as soon as nothing uses it. If a peer opens streams one after the other,
//! the scopes of its protocol are made and removed with each stream, and that costs more than all else
//! that limits do for a stream. So a connection keeps the scopes of a protocol that comes again.
//!
//! Kept scopes take about 3 KB for each protocol, and most connections are idle. So there are bounds:
//!
//! - a connection keeps the scopes of its last two protocols, each from its second stream on;
//! - of all connections of a swarm, 128 keep scopes. One more takes the place of the one that began
//!   first.
//!
//! A connection that has ended keeps nothing.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rcmgr_atomic::{KeptScopes, Stream};

/// How many protocols a connection remembers.
const PROTOCOLS: usize = 2;
/// How many connections keep scopes.
const CONNECTIONS: usize = 128;

/// The connections of a swarm that keep scopes, in the order in which they began to.
#[derive(Debug, Default)]
pub(crate) struct Keepers(Mutex<VecDeque<Weak<Keeper>>>);

/// The scopes that one connection keeps.
#[derive(Debug)]
pub(crate) struct Keeper {
    keepers: Arc<Keepers>,
    recent: Mutex<Recent>,
}

/// The last protocols of a connection.
#[derive(Debug, Default)]
struct Recent {
    /// The latest first.
    protocols: [Option<Protocol>; PROTOCOLS],
    /// Whether the connection is listed as one that keeps scopes.
    is_listed: bool,
    has_ended: bool,
}

#[derive(Debug)]
struct Protocol {
    name: Arc<str>,
    /// From its second stream on.
    kept: Option<Arc<KeptScopes>>,
}

impl Keepers {
    /// Lists a connection that begins to keep scopes. If there are too many, the first of them stops.
    fn add(&self, keeper: &Arc<Keeper>) {
        let mut keepers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.push_back(Arc::downgrade(keeper));
        let first = match keepers.len() > CONNECTIONS {
            true => keepers.pop_front(),
            false => None,
        };
        drop(keepers);
        // It may have ended, and keeps nothing then.
        if let Some(first) = first.and_then(|first| first.upgrade()) {
            first.stop();
        }
    }
}

impl Recent {
    /// This protocol, if it is one of the last. It is the latest now.
    fn latest(&mut self, protocol: &[u8]) -> Option<&mut Protocol> {
        let is_known = |known: &Option<Protocol>| {
            let known = known.as_ref();
            known.is_some_and(|known| *known.name.as_bytes() == *protocol)
        };
        let at = self.protocols.iter().position(is_known)?;
        self.protocols[..=at].rotate_right(1);
        self.protocols[0].as_mut()
    }
}

impl Keeper {
    pub(crate) fn new(keepers: &Arc<Keepers>) -> Arc<Self> {
        Arc::new(Self {
            keepers: keepers.clone(),
            recent: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scopes that are kept for this protocol.
    pub(crate) fn kept(&self, protocol: &[u8]) -> Option<Arc<KeptScopes>> {
        let mut recent = self.lock();
        recent.latest(protocol)?.kept.clone()
    }

    /// Keeps the scopes of a stream of the connection, if another stream had this protocol a short
    /// while ago. Called when the protocol and the service of the stream are set.
    pub(crate) fn settled(
        self: &Arc<Self>,
        stream: &Stream,
        protocol: &str,
        service: Option<&str>,
    ) {
        let mut recent = self.lock();
        if recent.has_ended {
            return;
        }
        let Some(latest) = recent.latest(protocol.as_bytes()) else {
            // Its first stream: remember the name in place of that of the protocol before the last.
            let name = stream.protocol();
            recent.protocols.rotate_right(1);
            let first = name.map(|name| Protocol { name, kept: None });
            let forgotten = mem::replace(&mut recent.protocols[0], first);
            drop(recent);
            // Outside of the lock: this may wake tasks that wait for room.
            drop(forgotten);
            return;
        };
        if latest.kept.is_none() {
            let kept = stream.keep_scopes().ok();
            // A handler may have set another service meanwhile. The next stream does not get that.
            let (kept, other) = match stream.service().as_deref() == service {
                true => (kept, None),
                false => (None, kept),
            };
            latest.kept = kept.map(Arc::new);
            // One that keeps nothing takes no place in the list.
            let begins = latest.kept.is_some() && !mem::replace(&mut recent.is_listed, true);
            drop(recent);
            drop(other);
            if begins {
                self.keepers.add(self);
            }
        }
    }

    /// Keeps nothing until protocols come again.
    fn stop(&self) {
        let mut recent = self.lock();
        recent.is_listed = false;
        let protocols = mem::take(&mut recent.protocols);
        drop(recent);
        // Outside of the lock: this may wake tasks that wait for room.
        drop(protocols);
    }

    /// The connection has ended: nothing is kept from now on. Streams may outlive it.
    pub(crate) fn end(&self) {
        self.lock().has_ended = true;
        self.stop();
    }
}
