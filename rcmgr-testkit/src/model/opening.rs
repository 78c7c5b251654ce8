//! Opening connections and streams.

use std::net::IpAddr;
use std::sync::Arc;

use rcmgr_address::Listing;
use rcmgr_core::{
    Direction, Endpoint, Error, PeerId, Priority, Result, ScopeId, ScopeStat, UsesFd, canonical_ip,
};

use super::dry_run::LetPass;
use super::leaf::{End, Leaf};
use super::request::{Request, Turn, check};
use super::{Holder, HolderKind, Model, Target, manager_closed};

impl Model {
    /// Opens a connection, if need be on the allowlisted scopes. The index of its holder.
    pub(super) fn open_connection(
        &mut self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: &Endpoint,
    ) -> Result<usize> {
        if self.closed {
            return Err(manager_closed());
        }
        // An IPv4 address in IPv6 form counts as itself.
        let ip = endpoint.ip().map(canonical_ip);
        let has_permit = match ip {
            Some(ip) => self.addresses.take_permit(ip)?,
            None => false,
        };
        let leaf = Leaf {
            has_permit,
            ..new_connection(direction, uses_fd, ip)
        };
        let opened = self.open(leaf.clone(), Turn::Now);
        if opened.is_ok() {
            return opened;
        }
        // The standard scopes refused. The allowlisted ones need no permit.
        if let Some(ip) = ip.filter(|_| has_permit) {
            self.addresses.give_back(ip);
        }
        match self.on_allowlisted(&leaf) {
            Some(leaf) => self.open(leaf, Turn::Now),
            None => opened,
        }
    }

    /// The same new connection on the allowlisted scopes, if the allowlist has its address.
    pub(super) fn on_allowlisted(&self, leaf: &Leaf) -> Option<Leaf> {
        let listing = self.addresses.listing(leaf.ip);
        (listing != Listing::NotListed).then(|| Leaf {
            end: End::Allowlisted,
            is_unproven: listing == Listing::SomePeers,
            has_permit: false,
            ..leaf.clone()
        })
    }

    /// Opens a stream. The index of its holder.
    pub(super) fn open_stream(
        &mut self,
        peer: PeerId,
        direction: Direction,
        protocol: Option<&Arc<str>>,
        service: Option<&Arc<str>>,
    ) -> Result<usize> {
        if self.closed {
            return Err(manager_closed());
        }
        let leaf = Leaf {
            protocol: protocol.cloned(),
            service: service.cloned(),
            ..new_stream(peer, direction)
        };
        let opened = self.open(leaf, Turn::Now);
        // A service exists as soon as it was asked. The stream and the peer are asked before it.
        let was_asked = match &opened {
            Err(Error::LimitExceeded(refused)) => {
                !matches!(refused.scope.scope, ScopeId::Stream(_) | ScopeId::Peer(_))
            }
            _ => true,
        };
        if was_asked {
            self.services.extend(service.cloned().map(ScopeId::Service));
        }
        opened
    }

    /// Opens a stream with the peer of a connection.
    pub(super) fn open_stream_through(
        &mut self,
        connection: usize,
        direction: Direction,
        protocol: Option<&Arc<str>>,
        service: Option<&Arc<str>>,
    ) -> Result<usize> {
        let peer = self.peer_of_streams(connection)?;
        self.open_stream(peer, direction, protocol, service)
    }

    /// The peer of the streams that are opened through a connection.
    pub(super) fn peer_of_streams(&self, connection: usize) -> Result<PeerId> {
        if self.closed {
            return Err(manager_closed());
        }
        let scope = self.name(&Target::Holder(connection));
        let leaf = self.leaf(connection).expect("a connection");
        if self.holders[connection].closed || matches!(leaf.end, End::Stranded { .. }) {
            return Err(Error::ScopeClosed { scope });
        }
        leaf.peer.ok_or(Error::NoPeer { scope })
    }

    /// Charges a new leaf: on itself, then on its path.
    pub(super) fn open(&mut self, mut leaf: Leaf, turn: Turn) -> Result<usize> {
        let kind = usize::from(leaf.is_stream());
        leaf.number = self.last_leaf[kind] + 1;
        let request = for_leaf(&leaf, turn);
        let path = leaf.path();
        let limit = self.limit(&leaf.id());
        let refused = self.look_at_new(&leaf, &path, &request);
        let is_unproven = leaf.is_unproven;
        let unproven = match is_unproven {
            true => self.check_unproven(&self.limits, &request),
            false => Ok(()),
        };
        let at = self.holders.len();
        self.holders.push(Holder::new(HolderKind::Leaf(leaf)));
        let own = check(&limit, &ScopeStat::ZERO, &request);
        let own = own.map_err(|over| self.refuse(&Target::Holder(at), &limit, &request, over));
        let is_named = own.is_err();
        let transient = Target::Scope(ScopeId::AllowlistedTransient);
        let opened = own.and_then(|()| {
            unproven.map_err(|(limit, over)| self.refuse(&transient, &limit, &request, over))?;
            self.check_unproven_turn(is_unproven, &request)
        });
        let opened = opened.and_then(|()| self.charge(&path, request));
        // The number is used up by a leaf that is open, and by one that its own error names.
        if opened.is_ok() || is_named {
            self.last_leaf[kind] += 1;
        }
        match &opened {
            Ok(()) => self.evaluate_new(at, refused, &request),
            Err(_) => drop(self.holders.pop()),
        }
        opened.map(|()| at)
    }

    /// Counts what the dry run would have refused of a new leaf. A connection is asked by the limits by
    /// address first. On the allowlisted scopes it has no permit.
    fn evaluate_new(&mut self, at: usize, refused: LetPass, request: &Request) {
        let HolderKind::Leaf(leaf) = &self.holders[at].kind else {
            return;
        };
        let (ip, is_allowlisted) = (leaf.ip, leaf.end == End::Allowlisted);
        let (is_admitted, permit) = self.dry_run.evaluate_address(ip);
        if is_admitted {
            self.dry_run.count(refused, request);
        }
        if let (true, Some(ip), Some(begun)) = (is_allowlisted, ip, permit) {
            self.dry_run.give_back(ip, begun);
        } else if let HolderKind::Leaf(leaf) = &mut self.holders[at].kind {
            leaf.dry_run_permit = permit;
        }
    }

    /// The leaf at an index, if it is one.
    pub(super) fn leaf(&self, at: usize) -> Option<&Leaf> {
        match &self.holders[at].kind {
            HolderKind::Leaf(leaf) => Some(leaf),
            HolderKind::Span { .. } => None,
        }
    }

    /// Whether an address in the allowlist lets a connection stay there with this peer.
    pub(super) fn may_stay(&self, peer: &PeerId, ip: Option<IpAddr>) -> bool {
        self.addresses.is_allowlisted_for(peer, ip)
    }
}

/// A new connection on the standard scopes.
pub const fn new_connection(direction: Direction, uses_fd: UsesFd, ip: Option<IpAddr>) -> Leaf {
    Leaf {
        number: 0,
        direction,
        uses_fd: Some(uses_fd),
        peer: None,
        protocol: None,
        service: None,
        end: End::Standard,
        is_unproven: false,
        ip,
        has_permit: false,
        dry_run_permit: None,
    }
}

/// A new stream with a peer and nothing else.
pub fn new_stream(peer: PeerId, direction: Direction) -> Leaf {
    Leaf {
        uses_fd: None,
        peer: Some(peer),
        ..new_connection(direction, UsesFd::No, None)
    }
}

/// What a new leaf asks for.
pub fn for_leaf(leaf: &Leaf, turn: Turn) -> Request {
    Request {
        stat: leaf.counts(),
        moved: false,
        priority: Priority::Always,
        memory: false,
        turn,
    }
}
