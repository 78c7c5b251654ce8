//! The engine and the model side by side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use proptest::prelude::*;
use rcmgr_atomic::{ConnMemory, KeptScopes, Limits, Manager, ScopeClass, ScopeId, ScopeStat};
use rcmgr_testkit::{Handle, Model, Op, Session};

use super::{SLOTS, THREADS};
use crate::by_memory::by_memory;

/// The engine and the model, which perform the same operations.
pub struct Pair {
    session: Session<Manager>,
    model: Model,
    /// Whether a peak may have credit in it.
    has_credit: bool,
    /// Scopes that are kept, if any ever are. The model does not know them.
    kept: Option<Vec<Kept>>,
}

/// Kept scopes of a stream, and their names.
struct Kept {
    scopes: KeptScopes,
    protocol: Option<Arc<str>>,
    service: Option<Arc<str>>,
}

impl Pair {
    pub fn new(limits: Limits, credit: u64, after: u64) -> Self {
        let manager = Manager::builder()
            .limits(limits.clone())
            .prepaid_credit(credit, credit)
            .credit_after(after);
        let manager = manager.build().expect("the configuration works");
        Self {
            session: Session::new(manager, SLOTS),
            model: Model::new(limits.clone(), &limits.addresses, SLOTS),
            has_credit: credit > 0,
            kept: None,
        }
    }

    /// Keeps the scopes of the stream in this slot. If there is none, drops the oldest that are kept.
    pub fn keep_or_drop(&mut self, slot: usize) {
        let kept = self.kept.get_or_insert_default();
        match self.session.handle(slot).as_deref() {
            Some(Handle::Stream(stream)) => kept.extend(stream.keep_scopes().map(|scopes| Kept {
                scopes,
                protocol: stream.protocol(),
                service: stream.service(),
            })),
            _ if kept.is_empty() => {}
            _ => drop(kept.remove(0)),
        }
    }

    /// Drops all kept scopes.
    pub fn drop_kept(&mut self) {
        self.kept.take();
    }

    /// Moves the stream in this slot, if there is one, to the scopes that were kept last. To the model
    /// they are names.
    pub fn move_to_kept(&mut self, slot: usize) -> Result<(), TestCaseError> {
        let handle = self.session.handle(slot);
        let (Some(kept), Some(Handle::Stream(stream))) = (
            self.kept.as_ref().and_then(|kept| kept.last()),
            handle.as_deref(),
        ) else {
            return Ok(());
        };
        let Some(protocol) = &kept.protocol else {
            return Ok(());
        };
        let got = stream.set_kept_scopes(&kept.scopes);
        let want = match &kept.service {
            Some(service) => self.model.set_protocol_and_service(slot, protocol, service),
            None => self.model.perform(&Op::SetProtocol(slot, protocol.clone())),
        };
        prop_assert_eq!(got, want);
        drop(handle);
        self.compare()
    }

    /// Performs an operation on both, and compares all that can be seen.
    pub fn perform(&mut self, op: &Op) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.session.perform(op), self.model.perform(op));
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        self.compare_shared_scopes()?;
        self.compare_handles()?;
        let manager = &self.session.manager;
        for class in ScopeClass::ALL {
            let got = (manager.refusals(class), manager.over_releases(class));
            let want = (self.model.refusals(class), self.model.over_releases(class));
            prop_assert_eq!(got, want, "refusals and over-releases of class {}", class);
        }
        let got = manager.dry_run_refusals();
        let want = ScopeClass::ALL.map(|class| self.model.dry_run_refusals(class));
        prop_assert_eq!(got, want, "refusals that the dry run let pass");
        let got = manager.dry_run_addresses();
        let got = got.map(|stat| (stat.refused_by_subnet, stat.permits));
        prop_assert_eq!(got, self.model.dry_run_addresses());
        let permits = manager.addresses().stat().permits;
        prop_assert_eq!(permits, self.model.permits());
        Ok(())
    }

    fn compare_shared_scopes(&self) -> Result<(), TestCaseError> {
        let scopes = self.session.manager.scopes();
        let mut got: BTreeMap<ScopeId, (ScopeStat, ScopeStat)> = scopes
            .iter()
            .map(|scope| (scope.id.clone(), (scope.stat, scope.peak)))
            .collect();
        let want = self.model.scopes();
        if let Some(kept) = &self.kept {
            // Kept scopes are listed with zero usage. They keep their peaks, too.
            for (id, (stat, peak)) in &mut got {
                match want.get(id) {
                    Some((_, since)) => {
                        prop_assert!(is_at_least(peak, since), "the peak of {}", id);
                        *peak = *since;
                    }
                    None => prop_assert!(!kept.is_empty() && stat.is_zero(), "{} has {}", id, stat),
                }
            }
            got.retain(|id, _| want.contains_key(id));
        }
        if self.has_credit {
            // Credit is charged before it is used: such a peak is an upper bound.
            for (id, (_, peak)) in &mut got {
                let Some((_, least)) = want.get(id) else {
                    continue;
                };
                for (peak, least) in [
                    (&mut peak.memory, least.memory),
                    (&mut peak.streams_inbound, least.streams_inbound),
                    (&mut peak.streams_outbound, least.streams_outbound),
                    (&mut peak.conns_inbound, least.conns_inbound),
                    (&mut peak.conns_outbound, least.conns_outbound),
                    (&mut peak.fd, least.fd),
                ] {
                    prop_assert!(*peak >= least, "the peak of {}", id);
                    *peak = least;
                }
            }
        }
        prop_assert_eq!(&got, &want);
        for scope in scopes.iter().filter(|scope| want.contains_key(&scope.id)) {
            let limit = self.model.limit(&scope.id);
            prop_assert_eq!(scope.limit, limit, "the limit of {}", scope.id);
        }
        Ok(())
    }

    fn compare_handles(&self) -> Result<(), TestCaseError> {
        let mut conn_memory = Vec::new();
        for slot in 0..SLOTS {
            let (handle, known) = (self.session.handle(slot), self.model.handle(slot));
            prop_assert_eq!(
                handle.is_some(),
                known.is_some(),
                "a handle in slot {}",
                slot
            );
            let (Some(handle), Some(known)) = (handle, known) else {
                continue;
            };
            let scope = handle.scope();
            prop_assert_eq!(scope.stat(), known.stat);
            // The name gives the handle its number, in the order in which the model counts.
            prop_assert_eq!(scope.name(), known.name);
            if let Some(limit) = known.limit {
                prop_assert_eq!(scope.limit(), limit);
            }
            if matches!(*handle, Handle::Connection(_)) {
                conn_memory.push(known.stat.memory);
            }
        }
        let counts = self.session.manager.conn_memory().counts;
        prop_assert_eq!(counts, by_memory(conn_memory));
        Ok(())
    }

    /// Performs each operation on one of several threads, strictly one after the other: each of them
    /// uses a shard of its own.
    pub fn perform_in_turns(self, ops: &[(usize, Op)]) -> Result<Self, TestCaseError> {
        let pair = Mutex::new(self);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (turn, turns) = mpsc::channel();
                    let (result, results) = mpsc::channel();
                    let pair = &pair;
                    scope.spawn(move || {
                        for op in turns {
                            let mut pair = pair.lock().expect("no other thread panicked");
                            let performed = pair.perform(op);
                            result.send(performed).expect("the result is waited for");
                        }
                    });
                    (turn, results)
                })
                .collect();
            for (thread, op) in ops {
                let (turn, results) = &threads[*thread];
                turn.send(op).expect("the thread waits for its turn");
                results.recv().expect("the thread does not panic")?;
            }
            Ok(())
        })
        .map(|()| pair.into_inner().expect("no thread panicked"))
    }

    /// When all handles are dropped, everything is given back but what was reserved on shared scopes
    /// directly. When that is released, nothing is left.
    pub fn end(self) -> Result<(), TestCaseError> {
        let manager = self.session.manager.clone();
        // First the handles, then the kept scopes if there still are any.
        drop(self);
        prop_assert_eq!(manager.conn_memory(), ConnMemory::default());
        for scope in manager.scopes() {
            let counts = ScopeStat {
                memory: 0,
                ..scope.stat
            };
            prop_assert_eq!(counts, ScopeStat::ZERO, "{}", scope.id);
        }
        let session = Session::new(manager, 1);
        for scope in session.manager.scopes() {
            match session.view(&scope.id) {
                Some(view) => view.release(),
                None => prop_assert!(scope.stat.is_zero(), "{} is left", scope.id),
            }
        }
        let stat = session.manager.stat();
        prop_assert!(stat.system.is_zero(), "{} is left", stat.system);
        prop_assert!(
            stat.transient.is_zero() && stat.peers.is_empty() && stat.protocols.is_empty()
        );
        Ok(())
    }
}

fn is_at_least(peak: &ScopeStat, other: &ScopeStat) -> bool {
    peak.memory >= other.memory
        && peak.streams_inbound >= other.streams_inbound
        && peak.streams_outbound >= other.streams_outbound
        && peak.conns_inbound >= other.conns_inbound
        && peak.conns_outbound >= other.conns_outbound
        && peak.fd >= other.fd
}
