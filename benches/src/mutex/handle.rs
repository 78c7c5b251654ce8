//! The handles that users of the manager hold.

use std::fmt;
use std::sync::Arc;

use rcmgr_address::Permit;
use rcmgr_core::{
    ConnectionScope, Direction, Error, Limit, PeerId, Priority, ResourceScope, Result, ScopeClass,
    ScopeId, ScopeName, ScopeSpan, ScopeStat, StreamScope,
};

use super::primitives::Shared;
use super::registry::Registry;
use super::scope::{Above, Attached, Group, Scope, State};

/// A handle of a scope. Its kind decides whether a drop closes the scope.
pub struct Handle<K: Kind> {
    scope: Shared<Scope>,
    kind: K,
}

/// The kind of a handle.
pub trait Kind: Send + Sync + 'static {
    /// Whether the scope is closed when its handle is dropped.
    const ENDS: bool;
}

/// A named scope, which stays open.
#[derive(Debug)]
pub struct Named;

/// A span of another scope.
#[derive(Debug)]
pub struct Part;

/// A connection.
pub struct OfConnection {
    pub registry: Shared<Registry>,
    pub direction: Direction,
    /// The permit of its subnet.
    pub permit: Option<Permit>,
}

/// A stream.
pub struct OfStream {
    pub registry: Shared<Registry>,
    pub direction: Direction,
}

pub type View = Handle<Named>;
pub type Span = Handle<Part>;
pub type Connection = Handle<OfConnection>;
pub type Stream = Handle<OfStream>;

impl<K: Kind> fmt::Debug for Handle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("scope", &self.scope.name().to_string())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OfConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfConnection")
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OfStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfStream")
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

impl Kind for Named {
    const ENDS: bool = false;
}

impl Kind for Part {
    const ENDS: bool = true;
}

impl Kind for OfConnection {
    const ENDS: bool = true;
}

impl Kind for OfStream {
    const ENDS: bool = true;
}

impl<K: Kind> Handle<K> {
    pub const fn new(scope: Shared<Scope>, kind: K) -> Self {
        Self { scope, kind }
    }

    /// Runs `attach` if the scope is open and has no attachment of this class.
    fn attach(&self, to: ScopeClass, attach: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        self.scope.with(|state| {
            let Attached {
                peer,
                protocol,
                service,
            } = &state.attached;
            let attached = match to {
                ScopeClass::Peer => peer.is_some(),
                ScopeClass::Protocol => protocol.is_some(),
                _ => service.is_some(),
            };
            if state.closed {
                Err(self.scope.closed())
            } else if attached {
                let scope = self.name();
                Err(Error::AlreadyAttached { scope, to })
            } else {
                attach(state)
            }
        })
    }
}

impl<K: Kind> Drop for Handle<K> {
    fn drop(&mut self) {
        if K::ENDS {
            self.scope.close();
        }
    }
}

impl<K: Kind> ResourceScope for Handle<K> {
    type Span = Span;

    fn name(&self) -> ScopeName {
        self.scope.name().clone()
    }

    fn stat(&self) -> ScopeStat {
        self.scope.with(|state| state.used)
    }

    fn limit(&self) -> Limit {
        self.scope.with(|state| state.limit)
    }

    fn set_limit(&self, limit: Limit) {
        self.scope.with(|state| state.limit = limit);
    }

    fn reset_limit(&self) {
        self.scope.with(|state| state.limit = state.default);
    }

    #[inline]
    fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()> {
        let more = ScopeStat {
            memory: size,
            ..ScopeStat::ZERO
        };
        Ok(self.scope.reserve(&more, priority)?)
    }

    #[inline]
    fn release_memory(&self, size: u64) {
        self.scope.release(size);
    }

    fn release(&self) {
        self.scope.release(u64::MAX);
    }

    fn begin_span(&self) -> Result<Span> {
        let begun = self.scope.with(|state| {
            state.spans += 1;
            (!state.closed).then_some((state.spans, state.limit))
        });
        let (number, limit) = begun.ok_or_else(|| self.scope.closed())?;
        let mut name = self.name();
        name.spans = name.spans.child(number);
        let scope = Scope::new(name, limit, Above::Owner(self.scope.clone()));
        Ok(Handle::new(scope, Part))
    }
}

impl ScopeSpan for Span {
    fn done(&self) {
        self.scope.close();
    }
}

impl Connection {
    fn open_stream_on(
        &self,
        direction: Direction,
        protocol: Option<&str>,
        service: Option<&str>,
    ) -> Result<Stream> {
        let registry = &self.kind.registry;
        registry.check_open()?;
        let peer = self.scope.with(|state| match &state.attached.peer {
            _ if state.closed => Err(self.scope.closed()),
            Some(peer) => Ok(peer.clone()),
            None => Err(Error::NoPeer { scope: self.name() }),
        })?;
        Stream::open(registry, peer, direction, protocol, service)
    }
}

impl ConnectionScope for Connection {
    type Stream = Stream;

    fn open_stream(&self, direction: Direction) -> Result<Stream> {
        self.open_stream_on(direction, None, None)
    }

    fn open_stream_with(
        &self,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Stream> {
        self.open_stream_on(direction, Some(protocol), service)
    }

    fn direction(&self) -> Direction {
        self.kind.direction
    }

    fn peer(&self) -> Option<PeerId> {
        self.scope.with(|state| peer_of(&state.attached))
    }

    fn set_peer(&self, peer: &PeerId) -> Result<()> {
        let registry = &self.kind.registry;
        self.attach(ScopeClass::Peer, |state| {
            let peer = registry.peer(peer);
            let service = state.attached.service.as_ref();
            state.advance(registry.edges(Some(&peer), None, service))?;
            state.attached.peer = Some(peer);
            Ok(())
        })
    }

    fn set_service(&self, service: &str) -> Result<()> {
        let registry = &self.kind.registry;
        self.attach(ScopeClass::Service, |state| {
            let service = registry.service(service);
            let peer = state.attached.peer.as_ref();
            state.advance(registry.edges(peer, None, Some(&service)))?;
            state.attached.service = Some(service);
            Ok(())
        })
    }

    fn done(&self) {
        self.scope.close();
        if let Some(permit) = &self.kind.permit {
            permit.give_back();
        }
    }
}

impl Stream {
    /// Opens a stream with a peer, and optionally with a protocol and a service.
    pub fn open(
        registry: &Shared<Registry>,
        peer: Shared<Scope>,
        direction: Direction,
        protocol: Option<&str>,
        service: Option<&str>,
    ) -> Result<Self> {
        let id = ScopeId::Stream(registry.next_number());
        let limit = registry.limits.lock().stream;
        let protocol = protocol.map(|id| registry.protocol(id));
        let service = service.map(|name| registry.service(name));
        let above = match &protocol {
            None => registry.transient_edges(Some(peer.clone())),
            _ => registry.edges(Some(&peer), protocol.as_ref(), service.as_ref()),
        };
        let scope = Scope::new(id, limit, Above::Edges(above));
        let one = ScopeStat {
            streams_inbound: u64::from(direction == Direction::Inbound),
            streams_outbound: u64::from(direction == Direction::Outbound),
            ..ScopeStat::ZERO
        };
        scope.reserve(&one, Priority::Always)?;
        scope.with(|state| {
            state.attached = Attached {
                peer: Some(peer),
                protocol,
                service,
            };
        });
        let kind = OfStream {
            registry: registry.clone(),
            direction,
        };
        Ok(Self::new(scope, kind))
    }
}

impl StreamScope for Stream {
    fn direction(&self) -> Direction {
        self.kind.direction
    }

    fn peer(&self) -> PeerId {
        let peer = self.scope.with(|state| peer_of(&state.attached));
        peer.expect("a stream has a peer")
    }

    fn protocol(&self) -> Option<Arc<str>> {
        self.scope.with(|state| name_of(&state.attached.protocol))
    }

    fn service(&self) -> Option<Arc<str>> {
        self.scope.with(|state| name_of(&state.attached.service))
    }

    fn set_protocol(&self, protocol: &str) -> Result<()> {
        let registry = &self.kind.registry;
        self.attach(ScopeClass::Protocol, |state| {
            let protocol = registry.protocol(protocol);
            let peer = state.attached.peer.as_ref();
            state.advance(registry.edges(peer, Some(&protocol), None))?;
            state.attached.protocol = Some(protocol);
            Ok(())
        })
    }

    fn set_service(&self, service: &str) -> Result<()> {
        let registry = &self.kind.registry;
        self.attach(ScopeClass::Service, |state| {
            let Attached { peer, protocol, .. } = &state.attached;
            if protocol.is_none() {
                return Err(Error::NoProtocol { scope: self.name() });
            }
            let service = registry.service(service);
            let edges = registry.edges(peer.as_ref(), protocol.as_ref(), Some(&service));
            state.advance(edges)?;
            state.attached.service = Some(service);
            Ok(())
        })
    }

    fn done(&self) {
        self.scope.close();
    }
}

fn peer_of(attached: &Attached) -> Option<PeerId> {
    attached.peer.as_ref()?.name().scope.peer()
}

fn name_of(group: &Option<Shared<Group>>) -> Option<Arc<str>> {
    group.as_ref().map(|group| group.name().clone())
}
