//! Replays a trace under other limits.
//!
//! Every operation of the trace is checked again under the other limits. The usage of a scope is
//! then the recorded usage less its *absent* part: the charges in the trace that would not exist.

mod report;
mod scopes;

use std::collections::BTreeMap;

use rcmgr_core::{Resource, ScopeStat};

use super::operation::Operation;
use super::scope::{base_of, counts_in, metric_label};
use super::top::Top;
use crate::counters::minus;
use crate::trace::{Event, EventKind};

pub use report::{Change, ScopeChanges, WhatIfReport};
pub use scopes::ReplayLimits;

use scopes::{Name, Scopes, Step};

/// The state of the replay under other limits.
#[derive(Debug)]
pub struct WhatIf {
    scopes: Scopes,
    report: WhatIfReport,
    changes: BTreeMap<(&'static str, &'static str), [u64; 3]>,
    /// For each scope: the grants that it would have refused, and the refusals that it would have
    /// granted.
    names: Top<[u64; 2]>,
}

impl WhatIf {
    /// A replay under these limits.
    pub fn new(asked: ReplayLimits) -> Self {
        Self {
            scopes: Scopes::new(asked),
            report: WhatIfReport::default(),
            changes: BTreeMap::new(),
            names: Top::default(),
        }
    }

    /// Checks the next operation of the trace.
    pub fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Start => self.scopes.forget(),
            Operation::Create(event) => self.scopes.create(&event),
            Operation::Grant(events) => {
                let steps = self.scopes.steps(&events);
                self.grant(&steps);
                self.scopes.settle(&steps);
            }
            Operation::Move { added, released } => {
                let peer = added
                    .iter()
                    .find_map(|event| event.scope.as_ref()?.peer.clone());
                let added = self.scopes.steps(&added);
                let released = self.scopes.steps(&released);
                self.moved(&added, &released, peer.as_deref());
                self.scopes.settle(&added);
                self.scopes.settle(&released);
            }
            Operation::Refusal { asked, opening } => {
                let steps = self.scopes.steps(&asked);
                self.refusal(&steps, asked.last(), opening.as_deref());
                self.scopes.settle(&steps);
            }
            Operation::Release(events) => {
                let steps = self.scopes.steps(&events);
                let owner = steps.last().map(|step| step.name.clone());
                self.scopes.release(&steps, owner.as_deref());
                self.scopes.settle(&steps);
            }
            Operation::Destroy { name, released } => {
                let steps = self.scopes.steps(&released);
                self.scopes.release(&steps, Some(&name));
                self.scopes.settle(&steps);
                self.scopes.remove(&name);
            }
        }
    }

    /// The report, with `top` scopes.
    pub fn finish(mut self, top: usize) -> WhatIfReport {
        let changes = self.changes.into_iter();
        self.report.changes = changes
            .map(
                |((scope, resource), [would_refuse, would_grant, bytes])| Change {
                    scope,
                    resource,
                    would_refuse,
                    would_grant,
                    bytes,
                },
            )
            .collect();
        let names = self
            .names
            .into_sorted(|[refuse, grant]| (refuse + grant, 0));
        let names = names.into_iter().take(top);
        self.report.scopes = names
            .map(|(name, [would_refuse, would_grant])| ScopeChanges {
                name: name.into(),
                would_refuse,
                would_grant,
            })
            .collect();
        self.report
    }

    fn grant(&mut self, steps: &[Step]) {
        let Some(owner) = steps.last() else {
            return;
        };
        // In the trace the scopes of the path come first, then the owner, then its spans. The
        // checks start at the innermost span.
        let base = base_of(&owner.name);
        // The scopes before the base are its path: remember it for a later move or close.
        let own = steps.iter().position(|step| *step.name == *base);
        let own = own.unwrap_or(steps.len() - 1);
        let path = steps[..own].iter().map(|step| step.name.clone()).collect();
        self.scopes.set_path(base, path);
        let in_order = steps[own..].iter().rev().chain(&steps[..own]);
        if self.scopes.is_gone(&owner.name) {
            // Its connection or stream was refused before.
            self.report.not_asked += 1;
        } else if let Some(refusal) = self.scopes.refuses(in_order) {
            self.would_refuse(&refusal, owner.amount.memory);
            self.scopes.note_refusal(owner);
        } else {
            self.report.granted += 1;
            return;
        }
        // Not granted in the replay: the charges of the trace become absent.
        for step in steps {
            self.scopes.add_absent(&step.name, &step.amount);
        }
    }

    fn would_refuse(&mut self, (name, resource): &(Name, Resource), bytes: u64) {
        self.report.would_refuse += 1;
        self.changed(name, *resource, REFUSED, bytes);
    }

    fn moved(&mut self, added: &[Step], released: &[Step], peer: Option<&str>) {
        let Some(amount) = added.first().map(|step| step.amount) else {
            return;
        };
        let mover = self.scopes.mover(&amount, !released.is_empty(), peer);
        // The part of the moved charges that would not exist.
        let mut absent = ScopeStat::ZERO;
        if let Some(mover) = &mover {
            let before = self.scopes.path(mover);
            // A connection that is charged on system leaves the allowlisted scopes.
            let to_system = added.iter().any(|step| &*step.name == "system");
            let is_left = |name: &Name| {
                let was_released = released.iter().any(|step| step.name == *name);
                was_released || to_system && name.starts_with("allowlisted")
            };
            // The new path is the old one, without the scopes it left, plus the added ones.
            let added = added.iter().map(|step| step.name.clone());
            let path = before.into_iter().chain(added);
            let path = path.filter(|name| !is_left(name)).collect();
            absent = self.scopes.absent(mover);
            self.scopes.set_path(mover, path);
        }
        // Only the part that exists in the replay is checked.
        let would_ask = |step: &Step| Step {
            amount: minus(&step.amount, &absent),
            name: step.name.clone(),
            ..*step
        };
        let asked: Vec<_> = added.iter().map(would_ask).collect();
        let refusal = self.scopes.refuses(&asked);
        // The absent part moves with the rest: from the released scopes to the added ones.
        for step in added {
            self.scopes.add_absent(&step.name, &absent);
        }
        for step in released {
            self.scopes.remove_absent(&step.name, &absent);
        }
        if mover
            .as_ref()
            .is_some_and(|mover| self.scopes.is_gone(mover))
        {
            self.report.not_asked += 1;
        } else if let Some(refusal) = refusal {
            self.would_refuse(&refusal, amount.memory);
            // Without a known mover, only the added charges become absent.
            match mover {
                None => added
                    .iter()
                    .for_each(|step| self.scopes.add_absent(&step.name, &step.amount)),
                Some(mover) => self.scopes.close(&mover),
            }
        } else {
            self.report.granted += 1;
        }
    }

    fn refusal(&mut self, steps: &[Step], refusal: Option<&Event>, opening: Option<&str>) {
        let (Some(last), Some(event)) = (steps.last(), refusal) else {
            return;
        };
        // Undo the grants of the scopes before it.
        for step in &steps[..steps.len() - 1] {
            self.scopes.undo(step);
        }
        if self.scopes.is_gone(&last.name) {
            self.report.not_asked += 1;
            return;
        }
        // The trace does not show the scopes after the refusal: add the known ones.
        let rest = self.checked_next(steps, event, opening);
        if self.scopes.refuses(steps.iter().chain(&rest)).is_some() {
            self.report.refused += 1;
            return;
        }
        // All scopes would grant. Report the refusal under the requested resource.
        self.report.would_grant += 1;
        let amount = &last.amount;
        let resource = match &event.kind {
            EventKind::BlockReserveMemory => Resource::Memory,
            EventKind::BlockAddStream if amount.streams_inbound > 0 => Resource::StreamsInbound,
            EventKind::BlockAddStream => Resource::StreamsOutbound,
            _ if amount.conns_inbound > 0 => Resource::ConnsInbound,
            _ => Resource::ConnsOutbound,
        };
        self.changed(&last.name, resource, GRANTED, amount.memory);
    }

    /// The scopes that would have been checked next, as far as they are known: for an opened
    /// connection or stream itself, transient and system; for memory, system.
    fn checked_next(&self, steps: &[Step], event: &Event, opening: Option<&str>) -> Vec<Step> {
        let allowlisted = steps
            .iter()
            .any(|step| step.name.starts_with("allowlisted"));
        let [transient, system] = match allowlisted {
            true => ["allowlistedTransient", "allowlistedSystem"],
            false => ["transient", "system"],
        };
        let next: Vec<&str> = match (opening, &event.kind) {
            (_, EventKind::BlockReserveMemory) => vec![system],
            (Some(leaf), _) => vec![leaf, transient, system],
            (None, _) => Vec::new(),
        };
        let next = next
            .into_iter()
            .filter(|name| steps.iter().all(|step| *step.name != **name));
        let asked = steps.last();
        next.filter_map(|name| self.scopes.same_request(name, asked?))
            .collect()
    }

    fn changed(&mut self, name: &str, resource: Resource, which: usize, bytes: u64) {
        let labels = (metric_label(counts_in(name)), resource.as_str());
        let change = self.changes.entry(labels).or_default();
        change[which] += 1;
        if resource == Resource::Memory {
            change[2] = change[2].saturating_add(bytes);
        }
        self.names.entry(name)[which] += 1;
        self.names.trim(|[refuse, grant]| (refuse + grant, 0));
    }
}

/// The index of each count in a change.
const REFUSED: usize = 0;
const GRANTED: usize = 1;
