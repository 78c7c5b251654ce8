//! The number of scopes that a case is charged on, and which of them the threads share. For the
//! engines that have only counters.

use std::sync::Arc;

use crate::case::{Case, Place, Sharing, Workload};

/// The number of scopes that an operation touches, by the threads that share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scopes {
    /// Scopes of one thread: leaves, spans, and the entries of its addresses.
    own: usize,
    /// Scopes of one peer: the peer, and its shares of protocol and service.
    peer: usize,
    /// Scopes of one manager: protocol, service, transient, system.
    shared: usize,
}

impl Scopes {
    const fn of(case: &Case) -> Self {
        let (own, peer, shared) = match case.workload {
            Workload::Memory | Workload::MemoryNearLimit => match case.place {
                Place::System => (0, 0, 1),
                Place::Peer => (0, 1, 1),
                Place::Connection => (1, 1, 1),
                Place::Stream => (1, 1, 2),
                Place::Protocol => (1, 2, 2),
                Place::Service => (1, 3, 3),
                Place::Span => (2, 3, 3),
            },
            Workload::Stream => (1, 3, 4),
            Workload::Connection => (1, 1, 2),
            // Two are added for the address: its bucket and its subnet.
            Workload::ConnectionIp => (3, 1, 2),
            Workload::Refused | Workload::RefusedById => (0, 1, 0),
            Workload::Span => (2, 3, 3),
        };
        Self { own, peer, shared }
    }
}

/// The scopes of each thread, innermost first. The last scope of a manager is created by `system`,
/// all others by `scope`.
pub fn chains<T>(case: &Case, scope: impl Fn() -> T, system: impl Fn() -> T) -> Vec<Vec<Arc<T>>> {
    let Scopes { own, peer, shared } = Scopes::of(case);
    let several = |count| -> Vec<_> { (0..count).map(|_| Arc::new(scope())).collect() };
    let manager = |_| {
        let mut scopes = several(shared.saturating_sub(1));
        scopes.extend((shared > 0).then(|| Arc::new(system())));
        scopes
    };
    let managers: Vec<_> = (0..case.managers()).map(manager).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(case: &Case) -> Vec<Vec<Arc<u8>>> {
        chains(case, || 0, || 1)
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
    fn the_last_scope_is_the_system() {
        let chain = &all(&Case::new(Workload::Memory, Sharing::System, 1))[0];
        let values: Vec<_> = chain.iter().map(|scope| **scope).collect();
        assert_eq!(values, [0, 0, 0, 0, 0, 0, 1]);
    }
}
