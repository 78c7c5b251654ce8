//! Backends that are listeners of the same server: the proxy would connect to itself.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::settings::Listen;
use crate::values::{arrives_at, backend_arrives_at};

/// How long all lookups of names may take together. A name that is not found by then is not checked.
const LONGEST_LOOKUP: Duration = Duration::from_secs(2);

/// The addresses of the backends that are given by name, as far as the names are known.
pub(super) struct Named(Vec<(Arc<str>, SocketAddr)>);

impl Named {
    /// Looks up the names of all backends at the same time.
    pub(super) fn of(listeners: &[Listen]) -> Self {
        let backends = listeners.iter().flat_map(|listen| &listen.to);
        let is_name = |backend: &&Arc<str>| backend.parse::<SocketAddr>().is_err();
        let mut names: Vec<_> = backends.filter(is_name).cloned().collect();
        names.sort_unstable();
        names.dedup();
        let (found, finds) = channel();
        for name in names {
            let found = found.clone();
            let look_up = move || {
                // A backend that cannot be found yet may be found when it is connected to.
                if let Ok(addresses) = name.to_socket_addrs() {
                    // The server may not wait any more.
                    let _ = found.send((name, Vec::from_iter(addresses)));
                }
            };
            let thread = thread::Builder::new().name("guard-lookup".into());
            if let Err(error) = thread.spawn(look_up) {
                tracing::debug!("the names of backends are not looked up: {error}");
            }
        }
        // The threads have the other senders, so the end of the last thread ends the wait.
        drop(found);
        let end = Instant::now() + LONGEST_LOOKUP;
        let mut all = Vec::new();
        while let Ok((name, addresses)) =
            finds.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            all.extend(addresses.into_iter().map(|address| (name.clone(), address)));
        }
        Self(all)
    }

    /// Checks that no backend is one of the addresses that the server listens on.
    ///
    /// # Errors
    ///
    /// The first backend that is.
    pub(super) fn check(&self, listeners: &[Listen], on: &[SocketAddr]) -> io::Result<()> {
        for backend in listeners.iter().flat_map(|listen| &listen.to) {
            let arrives = |on: &&SocketAddr| self.arrives_at(backend, **on);
            if let Some(own) = on.iter().find(arrives) {
                let reason = format!(
                    "the backend {backend} is the listener on {own}: the proxy would connect to \
                     itself"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
        }
        Ok(())
    }

    fn arrives_at(&self, backend: &Arc<str>, on: SocketAddr) -> bool {
        let named = self.0.iter().filter(|(name, _)| name == backend);
        backend_arrives_at(backend, on)
            || named
                .into_iter()
                .any(|(_, address)| arrives_at(*address, on))
    }
}
