//! The scopes that a case is charged on, which of them the threads share, and the steps of an
//! operation. For the engines that have only counters.

use std::sync::Arc;

use rcmgr_core::ScopeClass;

use crate::case::{Case, Place, Sharing, Workload};
use crate::setting::{PLENTY, TIGHT_HELD, TIGHT_LIMIT};

/// The scopes that an operation touches, by the threads that share them. Innermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scopes {
    /// Scopes of one thread: leaves, spans, and the entries of its addresses.
    own: &'static [ScopeClass],
    /// Scopes of one peer: the peer, and its shares of protocol and service.
    peer: &'static [ScopeClass],
    /// Scopes of one manager: transient, protocol, service, system.
    shared: &'static [ScopeClass],
}

impl Scopes {
    const fn of(case: &Case) -> Self {
        use ScopeClass::{
            Connection, Peer, Protocol, ProtocolPeer, Service, ServicePeer, Span, Stream, System,
            Transient,
        };
        const ALL_OF_PEER: &[ScopeClass] = &[Peer, ProtocolPeer, ServicePeer];
        const NAMED: &[ScopeClass] = &[Protocol, Service, System];
        let (own, peer, shared): (&[_], &[_], &[_]) = match case.workload {
            Workload::Memory | Workload::MemoryNearLimit => match case.place {
                Place::System => (&[], &[], &[System]),
                Place::Peer => (&[], &[Peer], &[System]),
                Place::Connection => (&[Connection], &[Peer], &[System]),
                Place::Stream => (&[Stream], &[Peer], &[Transient, System]),
                Place::Protocol => (&[Stream], &[Peer, ProtocolPeer], &[Protocol, System]),
                Place::Service => (&[Stream], ALL_OF_PEER, NAMED),
                Place::Span => (&[Span, Stream], ALL_OF_PEER, NAMED),
            },
            Workload::Stream => (
                &[Stream],
                ALL_OF_PEER,
                &[Transient, Protocol, Service, System],
            ),
            Workload::Connection => (&[Connection], &[Peer], &[Transient, System]),
            // Two are added for the address: its bucket and its subnet.
            Workload::ConnectionIp => (
                &[Connection, Connection, Connection],
                &[Peer],
                &[Transient, System],
            ),
            Workload::Refused | Workload::RefusedById => (&[], &[Peer], &[]),
            Workload::Span => (&[Span, Stream], ALL_OF_PEER, NAMED),
        };
        Self { own, peer, shared }
    }
}

/// The scopes of each thread, innermost first.
pub fn chains<T>(case: &Case, scope: impl Fn(ScopeClass) -> Arc<T>) -> Vec<Vec<Arc<T>>> {
    let Scopes { own, peer, shared } = Scopes::of(case);
    let several = |classes: &[_]| -> Vec<_> { classes.iter().map(|&class| scope(class)).collect() };
    let managers: Vec<_> = (0..case.managers()).map(|_| several(shared)).collect();
    let peers = match case.sharing {
        Sharing::None | Sharing::System => case.threads,
        Sharing::Path => 1,
    };
    let peers: Vec<_> = (0..peers).map(|_| several(peer)).collect();
    let chain = |thread: usize| {
        let mut chain = several(own);
        chain.extend_from_slice(&peers[thread % peers.len()]);
        chain.extend_from_slice(&managers[thread % managers.len()]);
        chain
    };
    (0..case.threads).map(chain).collect()
}

/// The room of a scope of this class. What other peers hold is left out of it.
pub fn room(case: &Case, class: ScopeClass) -> u64 {
    match case.workload {
        Workload::MemoryNearLimit if class == ScopeClass::System => TIGHT_LIMIT - TIGHT_HELD,
        workload if workload.is_refused() => 0,
        _ => PLENTY,
    }
}

/// The amount that an operation charges on each scope: bytes, or one stream or connection.
pub const fn amount(case: &Case) -> u64 {
    match case.workload {
        Workload::Memory | Workload::MemoryNearLimit | Workload::Span => case.size,
        _ => 1,
    }
}

/// A step of an operation: it charges some scopes or none of them, then it releases others. Scopes are
/// given by their index in the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The scopes that are held before, and have to be released if the step is refused.
    pub held: Vec<usize>,
    /// The scopes that are charged.
    pub charge: Vec<usize>,
    /// The scopes that are released.
    pub release: Vec<usize>,
}

/// The steps of one operation. After the last one nothing is held, except if it is refused.
pub fn steps(case: &Case) -> Vec<Step> {
    use ScopeClass::{Protocol, Service, Transient};
    let Scopes { own, peer, shared } = Scopes::of(case);
    let classes: Vec<_> = [own, peer, shared].concat();
    let group = |class| match class {
        ScopeClass::ProtocolPeer => Protocol,
        ScopeClass::ServicePeer => Service,
        other => other,
    };
    // The indices of the scopes that are charged in this step: 0 is the opening.
    let charged_in = |step: usize| -> Vec<usize> {
        let step_of = |class| match (case.workload, group(class)) {
            (Workload::Stream, Protocol) => 1,
            (Workload::Stream, Service) => 2,
            (Workload::Connection, ScopeClass::Peer) => 1,
            _ => 0,
        };
        let indices = 0..classes.len();
        indices.filter(|&at| step_of(classes[at]) == step).collect()
    };
    let is_transient = |at: &usize| classes[*at] == Transient;
    let mut steps = Vec::new();
    let mut held = Vec::new();
    for step in 0.. {
        let charge = charged_in(step);
        if charge.is_empty() {
            break;
        }
        // With a peer or protocol, a leaf is no longer transient.
        let release: Vec<_> = match step {
            1 => held.iter().copied().filter(is_transient).collect(),
            _ => Vec::new(),
        };
        let before = held.clone();
        held.extend(&charge);
        held.retain(|at| !release.contains(at));
        steps.push(Step {
            held: before,
            charge,
            release,
        });
    }
    // The leaf is closed.
    steps.push(Step {
        held: held.clone(),
        release: held,
        ..Step::default()
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(case: &Case) -> Vec<Vec<Arc<ScopeClass>>> {
        chains(case, Arc::new)
    }

    #[test]
    fn memory_is_charged_on_the_scopes_of_the_place() {
        for &place in Place::ALL {
            let case = Case {
                place,
                ..Case::new(Workload::Memory, Sharing::Path, 1)
            };
            assert_eq!(all(&case)[0].len(), place.scopes(), "{place}");
        }
    }

    #[test]
    fn threads_share_the_scopes_of_the_case() {
        let shared = |sharing| {
            let chains = all(&Case::new(Workload::Memory, sharing, 2));
            let pairs = chains[0].iter().zip(&chains[1]);
            pairs.filter(|(one, other)| Arc::ptr_eq(one, other)).count()
        };
        assert_eq!(shared(Sharing::None), 0);
        assert_eq!(shared(Sharing::System), 3);
        assert_eq!(shared(Sharing::Path), 6);
    }

    #[test]
    fn the_last_scope_is_the_system_and_has_little_room_near_the_limit() {
        let case = Case::new(Workload::MemoryNearLimit, Sharing::System, 1);
        let room: Vec<_> = all(&case)[0].iter().map(|c| room(&case, **c)).collect();
        let (system, others) = room.split_last().unwrap();
        assert_eq!(*system, TIGHT_LIMIT / 200);
        assert_eq!(others, [PLENTY; 6]);
    }

    #[test]
    fn a_stream_leaves_transient_when_it_gets_its_protocol() {
        let case = Case::new(Workload::Stream, Sharing::Path, 1);
        let steps = steps(&case);
        // Stream, peer, its shares of protocol and service, transient, protocol, service, system.
        let charged: Vec<_> = steps.iter().map(|step| step.charge.as_slice()).collect();
        assert_eq!(charged, [&[0, 1, 4, 7][..], &[2, 5], &[3, 6], &[]]);
        assert_eq!(steps[1].release, [4]);
        assert_eq!(steps[3].release, [0, 1, 7, 2, 5, 3, 6]);
    }

    #[test]
    fn every_operation_that_is_granted_releases_all_that_it_charged() {
        for &workload in Workload::ALL {
            let mut held = Vec::new();
            for step in steps(&Case::new(workload, Sharing::Path, 1)) {
                assert_eq!(held, step.held, "{workload}");
                held.extend(&step.charge);
                held.retain(|at| !step.release.contains(at));
            }
            assert!(held.is_empty(), "{workload}");
        }
    }
}
