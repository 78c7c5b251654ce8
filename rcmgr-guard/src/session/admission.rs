//! Admission: the two connections of a session in the manager, and the scopes that refuse them.

use rcmgr_atomic::address::Permit;
use rcmgr_atomic::{Connection, Direction, Manager, Scope, UsesFd};
use rcmgr_core::{Endpoint, Error, Limit, ScopeClass};

use super::client::Client;
use super::shared::Shared;
use crate::counts::{Counter, Counters};

/// The connections of a session: to the client, and to the backend.
#[derive(Debug)]
pub(super) struct Scopes {
    pub(super) inbound: Connection,
    pub(super) outbound: Connection,
    /// The place in the limits by address, of a client that has waited with it.
    pub(super) permit: Option<Box<Permit>>,
}

/// Opens both connections, or neither. Nothing is awaited in between, so no client holds one and
/// waits for the other.
///
/// A `permit` is taken if it succeeds. With one, the limits by address are not asked again.
pub(super) fn admit(
    manager: &Manager,
    service: &str,
    client: Client,
    permit: &mut Option<Box<Permit>>,
) -> Result<Scopes, Error> {
    let endpoint = match permit {
        Some(_) => Endpoint::None,
        None => client.endpoint(),
    };
    let inbound = manager.open_connection(Direction::Inbound, UsesFd::Yes, endpoint)?;
    inbound.set_service(service)?;
    if let Some(peer) = client.peer() {
        inbound.set_peer(&peer)?;
    }
    let outbound = open_outbound(manager, client)?;
    outbound.set_service(service)?;
    Ok(Scopes {
        inbound,
        outbound,
        permit: permit.take(),
    })
}

/// The limits by address are those of clients, so the backend's address is not limited.
fn open_outbound(manager: &Manager, client: Client) -> Result<Connection, Error> {
    let open = |endpoint| manager.open_connection(Direction::Outbound, UsesFd::Yes, endpoint);
    match open(Endpoint::None) {
        // A client on the allowlist needs both connections.
        Err(refused) if client.is_allowlisted(manager) => {
            open(client.endpoint()).map_err(|_| refused)
        }
        opened => opened,
    }
}

/// The scope or limit that refused a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusedBy {
    Address,
    Rate,
    Peer,
    Service,
    System,
    Transient,
    Other,
}

impl RefusedBy {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::SubnetLimit(_) => Self::Address,
            Error::RateLimit(_) => Self::Rate,
            Error::LimitExceeded(_) | Error::WaitersFirst(_) | Error::QueueFull(_) => {
                match error.scope().map(|scope| scope.class()) {
                    Some(ScopeClass::System | ScopeClass::AllowlistedSystem) => Self::System,
                    Some(ScopeClass::Transient | ScopeClass::AllowlistedTransient) => {
                        Self::Transient
                    }
                    Some(ScopeClass::Service) => Self::Service,
                    Some(ScopeClass::Peer | ScopeClass::ServicePeer) => Self::Peer,
                    _ => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }

    /// Whether clients share it, so that the end of another session may make room.
    pub(super) const fn is_shared(self) -> bool {
        matches!(self, Self::Service | Self::System | Self::Transient)
    }

    pub(super) const fn counter(self, counters: &Counters) -> &Counter {
        match self {
            Self::Address => &counters.refused_by_address,
            Self::Rate => &counters.refused_by_rate,
            Self::Peer => &counters.refused_by_peer,
            Self::Service => &counters.refused_by_service,
            Self::System => &counters.refused_by_system,
            Self::Transient => &counters.refused_by_transient,
            Self::Other => &counters.refused_by_other,
        }
    }
}

/// Whether a session fits into what is left.
fn fits(left: &Limit) -> bool {
    left.conns_inbound.allows(1)
        && left.conns_outbound.allows(1)
        && left.conns.allows(2)
        && left.fd.allows(2)
}

/// Whether each connection of a session fits in turn.
fn fits_in_turn(left: &Limit) -> bool {
    let all = [left.conns_inbound, left.conns_outbound, left.conns, left.fd];
    all.iter().all(|left| left.allows(1))
}

impl Shared {
    /// The first shared scope without room for another session; a hint, because others come and go.
    pub(super) fn lacks_room(&self, service: &Scope) -> Option<RefusedBy> {
        if !fits(&self.system.remaining()) {
            Some(RefusedBy::System)
        } else if !fits(&service.remaining()) {
            Some(RefusedBy::Service)
        } else if !fits_in_turn(&self.transient.remaining()) {
            Some(RefusedBy::Transient)
        } else {
            None
        }
    }

    /// Whether a session fits when there is no other. If not, it is of no use to wait.
    pub(super) fn may_ever_fit(&self, service: &Scope) -> bool {
        fits(&self.system.limit())
            && fits(&service.limit())
            && fits_in_turn(&self.transient.limit())
    }
}
