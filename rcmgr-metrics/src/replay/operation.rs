//! Groups the events of a trace into operations.
//!
//! A trace has an event for each scope of an operation. These events are adjacent, in the order of
//! the checks, and the connection, stream or span that made the request comes last; see
//! [`trace`](crate::trace). If operations of several threads are mixed up in a trace, adjacent
//! events may be only a part of an operation.

use crate::trace::{Event, EventKind};

use super::scope::{class_of, ends_by_itself, owner_of};
use rcmgr_core::ScopeClass;

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The manager was created.
    Start,
    /// A scope was created.
    Create(Box<Event>),
    /// Each of these scopes was charged.
    Grant(Vec<Event>),
    /// A connection or stream was charged on additional scopes. It left transient if there are
    /// releases.
    Move {
        added: Vec<Event>,
        released: Vec<Event>,
    },
    /// The scope of the last event refused. The scopes before it had granted and were released
    /// again. `opening` is the connection or stream, if it was being opened.
    Refusal {
        asked: Vec<Event>,
        opening: Option<String>,
    },
    /// Each of these scopes was released.
    Release(Vec<Event>),
    /// A scope was destroyed, and released these scopes.
    Destroy { name: String, released: Vec<Event> },
}

/// Takes events one after the other, and emits operations.
#[derive(Debug, Default)]
pub struct Assembler {
    events: Vec<Event>,
    phase: Phase,
    /// For a refusal, the number of scopes that were released again. For a move, the index of its
    /// first release.
    mark: usize,
    /// The connection or stream that was created just before.
    created: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Nothing,
    Granting,
    Moving,
    Refused,
    Releasing,
}

impl Assembler {
    /// Takes an event, and emits the operations that are complete.
    pub fn push(&mut self, event: Event, out: &mut impl FnMut(Operation)) {
        match &event.kind {
            EventKind::Start => {
                self.flush(out);
                out(Operation::Start);
            }
            EventKind::CreateScope => {
                // The scope of a protocol or a peer is created in the middle of its first
                // operation.
                if ends_by_itself(class_of(event.scope_name())) {
                    self.flush(out);
                    self.created = event.name.clone();
                }
                out(Operation::Create(Box::new(event)));
            }
            EventKind::DestroyScope => {
                let released = match self.phase {
                    Phase::Releasing if ends_by_itself(class_of(event.scope_name())) => {
                        self.phase = Phase::Nothing;
                        std::mem::take(&mut self.events)
                    }
                    _ => Vec::new(),
                };
                self.flush(out);
                let name = event.name.unwrap_or_default();
                out(Operation::Destroy { name, released });
            }
            kind if kind.is_grant() => {
                if self.phase != Phase::Granting || !continues(&self.events, &event) {
                    self.flush(out);
                }
                self.phase = Phase::Granting;
                self.events.push(event);
            }
            kind if kind.is_refusal() => {
                if self.phase != Phase::Granting || !refuses(&self.events, &event) {
                    self.flush(out);
                }
                self.phase = Phase::Refused;
                self.mark = 0;
                self.events.push(event);
            }
            kind if kind.is_release() => self.release(event, out),
            _ => {}
        }
    }

    fn release(&mut self, event: Event, out: &mut impl FnMut(Operation)) {
        match self.phase {
            // Grants followed by a release of transient: a connection or stream moved.
            Phase::Granting if leaves_transient(&self.events, &event) => {
                self.phase = Phase::Moving;
                self.mark = self.events.len();
            }
            // The next scope of the same operation.
            Phase::Moving if continues(&self.events[self.mark..], &event) => {}
            Phase::Releasing if continues(&self.events, &event) => {}
            Phase::Refused if undoes(&self.events, self.mark, &event) => {
                // The charge is enough: a refusal implies its release.
                self.mark += 1;
                return;
            }
            // The first event of another operation.
            _ => {
                self.flush(out);
                self.phase = Phase::Releasing;
            }
        }
        self.events.push(event);
    }

    /// Emits the pending operation, at the end of a trace.
    pub fn flush(&mut self, out: &mut impl FnMut(Operation)) {
        let mut events = std::mem::take(&mut self.events);
        let created = self.created.take();
        match std::mem::take(&mut self.phase) {
            Phase::Nothing => self.created = created,
            Phase::Granting if is_move(&events) => out(Operation::Move {
                added: events,
                released: Vec::new(),
            }),
            Phase::Granting => out(Operation::Grant(events)),
            Phase::Moving => {
                let released = events.split_off(self.mark);
                let added = events;
                out(Operation::Move { added, released });
            }
            Phase::Refused => out(Operation::Refusal {
                asked: events,
                opening: created,
            }),
            Phase::Releasing => out(Operation::Release(events)),
        }
    }
}

/// Whether two events have the same kind, amount and priority.
fn is_same(one: &Event, other: &Event) -> bool {
    one.kind == other.kind && one.amount() == other.amount() && one.priority == other.priority
}

/// The order of events of one scope: memory, then streams, then connections.
fn rank(event: &Event) -> u8 {
    match &event.kind {
        kind if kind.is_of_memory() => 0,
        kind if kind.is_of_streams() => 1,
        _ => 2,
    }
}

/// The events of the first scope. Every scope of the operation has the same pattern.
fn pattern(events: &[Event]) -> &[Event] {
    let first = events.first().map(Event::scope_name);
    let end = events
        .iter()
        .position(|event| Some(event.scope_name()) != first);
    &events[..end.unwrap_or(events.len())]
}

/// Whether the next event belongs to the same operation. Each scope occurs once, with the same
/// pattern of events, and the connection, stream or span that made the request is last. A path has
/// at most one scope of each class, so the length of an operation is bounded.
fn continues(events: &[Event], next: &Event) -> bool {
    let Some(last) = events.last() else {
        return false;
    };
    let pattern = pattern(events);
    let of_last = events.len() % pattern.len();
    // A further event of the same scope: the first scope sets the pattern, the others repeat it.
    if next.scope_name() == last.scope_name() {
        return match events.len() == pattern.len() {
            true => rank(next) > rank(last) && next.kind.is_grant() == last.kind.is_grant(),
            false => of_last != 0 && is_same(&pattern[of_last], next),
        };
    }
    // The first event of the next scope. After a connection, stream or span only its owner's span
    // may follow.
    let class = class_of(next.scope_name());
    let goes_on = match ends_by_itself(class_of(last.scope_name())) {
        true => owner_of(next.scope_name()) == Some(last.scope_name()),
        false => events
            .iter()
            .all(|event| class_of(event.scope_name()) != class),
    };
    of_last == 0 && is_same(&pattern[0], next) && goes_on
}

/// Whether this refusal belongs to the operation of these grants.
fn refuses(granted: &[Event], refusal: &Event) -> bool {
    let pattern = pattern(granted);
    granted.len().is_multiple_of(pattern.len())
        && granted
            .iter()
            .all(|event| event.scope_name() != refusal.scope_name())
        && !granted
            .last()
            .is_some_and(|last| ends_by_itself(class_of(last.scope_name())))
        && pattern
            .iter()
            .any(|event| rank(event) == rank(refusal) && event.amount() == refusal.amount())
}

/// Whether this releases a scope that had granted before another scope refused.
fn undoes(asked: &[Event], undone: usize, event: &Event) -> bool {
    let granted = &asked[..asked.len() - 1];
    let gives_back = |granted: &Event| {
        granted.scope_name() == event.scope_name()
            && rank(granted) == rank(event)
            && granted.amount() == event.amount()
    };
    undone < granted.len() && granted.iter().any(gives_back)
}

fn is_transient(name: &str) -> bool {
    use ScopeClass::{AllowlistedTransient, Transient};
    matches!(class_of(name), Some(Transient | AllowlistedTransient))
}

/// Whether this is the first release of transient in a move.
fn leaves_transient(granted: &[Event], event: &Event) -> bool {
    let first = &granted[0];
    is_transient(event.scope_name())
        && is_move(granted)
        && rank(first) == rank(event)
        && first.amount() == event.amount()
}

/// Whether these scopes were charged for an existing connection or stream that moved. A request of
/// a connection or stream itself names it. A request on a shared scope includes system and is about
/// memory.
fn is_move(granted: &[Event]) -> bool {
    let has = |wanted: fn(Option<ScopeClass>) -> bool| {
        let mut names = granted.iter().map(Event::scope_name);
        names.any(|name| wanted(class_of(name)))
    };
    let is_system = |class| {
        use ScopeClass::{AllowlistedSystem, System};
        matches!(class, Some(System | AllowlistedSystem))
    };
    !has(ends_by_itself) && (!has(is_system) || granted.iter().any(|event| rank(event) > 0))
}
