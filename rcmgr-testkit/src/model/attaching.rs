//! Attaching a leaf to a peer, a protocol or a service, which moves it to another path.

use std::sync::Arc;

use rcmgr_core::{Error, PeerId, Priority, Result, ScopeClass, ScopeId, ScopeStat};

use super::leaf::{End, Leaf};
use super::request::{Request, Turn};
use super::{HolderKind, Model, Target};

/// Asks for all that a leaf holds, every total included.
const fn to_move(stat: ScopeStat) -> Request {
    Request {
        stat,
        moved: true,
        priority: Priority::Always,
        memory: true,
        turn: Turn::First,
    }
}

impl Model {
    pub(super) fn set_peer(&mut self, at: usize, peer: PeerId) -> Result<()> {
        let leaf = self.leaf(at).expect("a connection");
        let is_allowlisted = leaf.end == End::Allowlisted && leaf.peer.is_none();
        let must_leave = is_allowlisted && !self.may_stay(&peer, leaf.ip);
        if must_leave && !self.holders[at].closed {
            self.leave_allowlist(at)?;
        }
        self.attach(at, ScopeClass::Peer, |leaf| {
            leaf.peer.replace(peer).is_some()
        })
    }

    pub(super) fn set_protocol(&mut self, at: usize, protocol: &Arc<str>) -> Result<()> {
        self.attach(at, ScopeClass::Protocol, |leaf| {
            leaf.protocol.replace(protocol.clone()).is_some()
        })
    }

    pub(super) fn set_service(&mut self, at: usize, service: &Arc<str>) -> Result<()> {
        let attached = self.attach(at, ScopeClass::Service, |leaf| {
            leaf.service.replace(service.clone()).is_some()
        });
        // A service exists as soon as it was asked.
        if matches!(attached, Ok(()) | Err(Error::LimitExceeded(_))) {
            self.services.insert(ScopeId::Service(service.clone()));
        }
        attached
    }

    /// Sets the protocol and the service of the stream in exactly this slot in one step.
    ///
    /// # Errors
    ///
    /// As the engine.
    ///
    /// # Panics
    ///
    /// If there is no stream.
    pub fn set_protocol_and_service(
        &mut self,
        slot: usize,
        protocol: &Arc<str>,
        service: &Arc<str>,
    ) -> Result<()> {
        let stream = self.slots[slot].expect("a stream");
        let attached = self.attach(stream, ScopeClass::Protocol, |leaf| {
            leaf.service = Some(service.clone());
            leaf.protocol.replace(protocol.clone()).is_some()
        });
        if matches!(attached, Ok(()) | Err(Error::LimitExceeded(_))) {
            self.services.insert(ScopeId::Service(service.clone()));
        }
        self.settle();
        attached
    }

    /// Moves a connection to the standard scopes, system first. If one refuses, the connection stays
    /// on those that took it.
    fn leave_allowlist(&mut self, at: usize) -> Result<()> {
        let leaf = self.leaf(at).expect("a connection").clone();
        let before = leaf.path();
        let standard = Leaf {
            end: End::Standard,
            ..leaf.clone()
        };
        let is_new = |id: &ScopeId| !before.contains(id);
        let mut gained: Vec<_> = standard.path().into_iter().filter(is_new).collect();
        gained.reverse();
        let stat = self.stat(&Target::Holder(at));
        let refused = self.look_at(&[], &gained, &to_move(stat));
        let charged = self.charge(&gained, to_move(stat));
        if charged.is_ok() {
            self.dry_run.count(refused, &to_move(stat));
        }
        let end = match &charged {
            Ok(()) => End::Standard,
            Err(refused) => {
                let on_system = refused.scope() == Some(&ScopeId::Transient.into());
                if on_system {
                    self.charge(&[ScopeId::System], to_move(stat))
                        .expect("it had room a moment ago");
                }
                End::Stranded { on_system }
            }
        };
        let service = leaf.service.clone().filter(|_| charged.is_ok());
        let after = Leaf {
            end,
            service,
            ..leaf
        };
        let kept = after.path();
        let lost: Vec<_> = before.into_iter().filter(|id| !kept.contains(id)).collect();
        self.note_peaks();
        self.give_back(&lost, stat);
        self.holders[at].kind = HolderKind::Leaf(after);
        charged
    }

    /// Moves a leaf to the path that it has after `set`, which says whether the leaf was attached
    /// already.
    fn attach(
        &mut self,
        at: usize,
        to: ScopeClass,
        set: impl FnOnce(&mut Leaf) -> bool,
    ) -> Result<()> {
        let scope = self.name(&Target::Holder(at));
        let before = self.leaf(at).expect("a leaf").clone();
        if self.holders[at].closed || matches!(before.end, End::Stranded { .. }) {
            return Err(Error::ScopeClosed { scope });
        }
        let mut after = before.clone();
        if set(&mut after) {
            return Err(Error::AlreadyAttached { scope, to });
        }
        if to == ScopeClass::Service && before.is_stream() && before.protocol.is_none() {
            return Err(Error::NoProtocol { scope });
        }
        let (old, new) = (before.path(), after.path());
        let mut gained: Vec<_> = new.iter().filter(|id| !old.contains(id)).cloned().collect();
        // The protocol is asked before the service, and each before the peer's share of it.
        gained.sort_by_key(|id| match id {
            ScopeId::Protocol(_) => 1,
            ScopeId::ProtocolPeer(..) => 2,
            ScopeId::Service(_) => 3,
            ScopeId::ServicePeer(..) => 4,
            _ => 0,
        });
        let lost: Vec<_> = old.iter().filter(|id| !new.contains(id)).cloned().collect();
        let stat = self.stat(&Target::Holder(at));
        let refused = self.look_at(&[], &gained, &to_move(stat));
        self.charge(&gained, to_move(stat))?;
        self.dry_run.count(refused, &to_move(stat));
        self.give_back(&lost, stat);
        self.holders[at].kind = HolderKind::Leaf(after);
        Ok(())
    }
}
