//! Replays the operations of a trace: what they need, and what other limits would refuse.
//!
//! Every operation of the trace is checked again under the other limits. The usage of a scope is
//! then the recorded usage less its *absent* part: the charges in the trace that would not exist.
//! The needs are those of the recorded usage. Without other limits nothing is refused, so that
//! nothing is absent.

mod next;
mod report;
mod scopes;
mod waiting;

use std::collections::BTreeMap;

use rcmgr_core::{Resource, ScopeClass, ScopeStat};

use super::needs::Needs;
use super::operation::Operation;
use super::scope::{base_of, counts_in, metric_label};
use super::tally::Peak;
use super::top::Top;
use crate::counters::{minus, plus};
use crate::trace::{Event, EventKind};

pub use report::{Change, ScopeChanges, WhatIfReport};
pub use scopes::ReplayLimits;

use next::{Held, Next};
use scopes::{Scopes, Step};
use waiting::Name;

/// The state of the replay of the operations.
#[derive(Debug)]
pub struct WhatIf {
    scopes: Scopes,
    needs: Needs,
    has_other_limits: bool,
    report: WhatIfReport,
    changes: BTreeMap<(&'static str, &'static str), [u64; 3]>,
    /// For each scope: the grants that it would have refused, and the refusals that it would have
    /// granted.
    names: Top<[u64; 2]>,
}

impl WhatIf {
    /// A replay under these limits, if there are any.
    pub fn new(asked: Option<ReplayLimits>) -> Self {
        Self {
            has_other_limits: asked.is_some(),
            scopes: Scopes::new(asked),
            needs: Needs::default(),
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

    /// The needs, and the report under other limits with `top` scopes.
    pub fn finish(mut self, top: usize) -> (Needs, Option<WhatIfReport>) {
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
        (self.needs, self.has_other_limits.then_some(self.report))
    }

    /// Notes that these scopes were asked.
    fn need(&mut self, steps: &[Step]) {
        for step in steps {
            let (used, amount) = (Peak::of(&step.before), Peak::of(&step.amount));
            self.needs
                .ask(step.counts_in, &used, &amount, step.priority);
        }
    }

    /// Notes that these scopes granted.
    fn need_granted(&mut self, steps: &[Step]) {
        self.need(steps);
        for step in steps {
            let usage = plus(&step.before, &step.amount);
            self.needs.grant(step.counts_in, &usage);
        }
    }

    /// Notes that these scopes were asked, and all that would have been asked if the last of them
    /// had granted.
    fn need_refused(&mut self, steps: &[Step], next: &Next) {
        self.need(steps);
        self.need(&next.known);
        let Some(last) = steps.last() else {
            return;
        };
        let mut amount = Peak::of(&last.amount);
        let mut priority = last.priority;
        if let Some(held) = &next.mover {
            let held = match held {
                Held::Known(held) => Peak::of(held),
                Held::AtMost(class) => self.needs.most(class),
            };
            // Memory that moves has the highest priority.
            if amount.memory == 0 {
                priority = u8::MAX;
            }
            amount.raise(&held);
            let used = Peak::of(&last.before);
            self.needs.ask(last.counts_in, &used, &amount, priority);
        }
        // A peer is the last that a connection asks when it gets one.
        if last.counts_in == ScopeClass::Peer.as_str() {
            (amount, priority) = (Peak::of(&last.amount), last.priority);
        }
        for class in &next.unknown {
            self.needs.may_ask(class, &amount, priority);
        }
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
        self.scopes.see_path(base, &steps[..own]);
        self.need_granted(steps);
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
        self.need_granted(added);
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
        // The trace does not show the scopes after the refusal: add the known ones.
        let next = self.scopes.next(steps, event, opening);
        self.need_refused(steps, &next);
        if self.scopes.is_gone(&last.name) {
            self.report.not_asked += 1;
            return;
        }
        if self
            .scopes
            .refuses(steps.iter().chain(&next.known))
            .is_some()
        {
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

    fn changed(&mut self, name: &str, resource: Resource, which: usize, bytes: u64) {
        let labels = (metric_label(counts_in(name)), resource.field_name());
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
