//! A manager that accepts everything and counts nothing.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::{
    ConnectionScope, Direction, Endpoint, Error, Limit, Limits, ManagerStat, PeerId, Priority,
    ResourceManager, ResourceScope, Result, ScopeId, ScopeName, ScopeSpan, ScopeStat, StreamScope,
    UsesFd,
};

/// Accepts everything and counts nothing: for tests, and as the manager until another is installed.
///
/// ```
/// use rcmgr_core::{Direction, NullResourceManager, ResourceManager};
///
/// let stream = NullResourceManager.open_stream(&"tenant-7".parse()?, Direction::Outbound)?;
/// assert!(NullResourceManager.stat().system.is_zero());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct NullResourceManager;

/// A scope that accepts everything and counts nothing. Its name is `system`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullScope;

/// A connection of [`NullResourceManager`]. It counts nothing, and remembers only its direction and
/// the peer that is set first.
#[derive(Debug, Clone)]
#[must_use = "dropping it closes it"]
pub struct NullConnection {
    direction: Direction,
    peer: OnceLock<PeerId>,
}

/// A stream of [`NullResourceManager`]. It counts nothing, and remembers only its direction and
/// peer.
#[derive(Debug, Clone, Copy)]
#[must_use = "dropping it closes it"]
pub struct NullStream {
    direction: Direction,
    peer: PeerId,
}

/// Implements [`ResourceScope`] by accepting everything.
macro_rules! accepts_everything {
    ($($scope:ty),*) => {$(
        impl ResourceScope for $scope {
            type Span = NullScope;

            fn name(&self) -> ScopeName {
                ScopeId::System.into()
            }
            fn stat(&self) -> ScopeStat {
                ScopeStat::ZERO
            }
            fn limit(&self) -> Limit {
                Limit::UNLIMITED
            }
            fn set_limit(&self, _: Limit) {}
            fn reset_limit(&self) {}
            #[inline]
            fn reserve_memory(&self, _: u64, _: Priority) -> Result<()> {
                Ok(())
            }
            #[inline]
            fn release_memory(&self, _: u64) {}
            fn release(&self) {}
            fn begin_span(&self) -> Result<NullScope> {
                Ok(NullScope)
            }
        }
    )*};
}
accepts_everything!(NullScope, NullConnection, NullStream);

impl ScopeSpan for NullScope {
    fn done(&self) {}
}

impl ConnectionScope for NullConnection {
    type Stream = NullStream;

    fn direction(&self) -> Direction {
        self.direction
    }
    fn peer(&self) -> Option<PeerId> {
        self.peer.get().copied()
    }
    fn set_peer(&self, peer: &PeerId) -> Result<()> {
        self.peer.get_or_init(|| *peer);
        Ok(())
    }
    fn open_stream(&self, direction: Direction) -> Result<NullStream> {
        match self.peer() {
            Some(peer) => Ok(NullStream { direction, peer }),
            None => Err(Error::NoPeer { scope: self.name() }),
        }
    }
    fn open_stream_with(
        &self,
        direction: Direction,
        _: &str,
        _: Option<&str>,
    ) -> Result<NullStream> {
        self.open_stream(direction)
    }
    fn set_service(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn done(&self) {}
}

impl StreamScope for NullStream {
    fn direction(&self) -> Direction {
        self.direction
    }
    fn peer(&self) -> PeerId {
        self.peer
    }
    fn protocol(&self) -> Option<Arc<str>> {
        None
    }
    fn service(&self) -> Option<Arc<str>> {
        None
    }
    fn set_protocol(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn set_service(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn done(&self) {}
}

impl ResourceManager for NullResourceManager {
    type Scope = NullScope;
    type Service = NullScope;
    type Connection = NullConnection;
    type Stream = NullStream;

    fn open_connection(
        &self,
        direction: Direction,
        _: UsesFd,
        _: Endpoint,
    ) -> Result<NullConnection> {
        Ok(NullConnection {
            direction,
            peer: OnceLock::new(),
        })
    }
    fn open_stream(&self, peer: &PeerId, direction: Direction) -> Result<NullStream> {
        Ok(NullStream {
            direction,
            peer: *peer,
        })
    }
    fn open_stream_with(
        &self,
        peer: &PeerId,
        direction: Direction,
        _: &str,
        _: Option<&str>,
    ) -> Result<NullStream> {
        self.open_stream(peer, direction)
    }
    fn verify_source_address(&self, _: IpAddr) -> bool {
        false
    }
    fn open_service(&self, _: &str) -> Result<NullScope> {
        Ok(NullScope)
    }
    fn view_system(&self) -> NullScope {
        NullScope
    }
    fn view_transient(&self) -> NullScope {
        NullScope
    }
    fn view_service(&self, _: &str) -> NullScope {
        NullScope
    }
    fn view_protocol(&self, _: &str) -> NullScope {
        NullScope
    }
    fn view_peer(&self, _: &PeerId) -> NullScope {
        NullScope
    }
    fn services(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
    fn protocols(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
    fn peers(&self) -> Vec<PeerId> {
        Vec::new()
    }
    fn stat(&self) -> ManagerStat {
        ManagerStat::default()
    }
    fn limits(&self) -> Arc<Limits> {
        Arc::new(Limits::unlimited())
    }
    fn set_limits(&self, _: Limits) {}
    fn close(&self) {}
}
