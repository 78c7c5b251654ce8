//! Events put together again: which of them are one operation.
//!
//! A trace has an event for each scope that was asked. They stand together, in the order in which
//! they were asked, and the connection, stream or span that asked comes last; see
//! [`trace`](crate::trace). Where operations of several threads are mixed up in a trace, what stands
//! together may be part of an operation only.

use crate::trace::{Event, EventKind};

use super::scope::{class_of, ends_by_itself, owner_of};
use rcmgr_core::ScopeClass;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The manager was made.
    Start,
    /// A scope was made.
    Create(Box<Event>),
    /// Charged on each of these scopes.
    Grant(Vec<Event>),
    /// A connection or stream was charged on some scopes more, and left transient if there are
    /// releases.
    Move {
        added: Vec<Event>,
        released: Vec<Event>,
    },
    /// Refused: by the scope of the last event, after those before had granted it, and were given
    /// back what they had granted. What asked is known if it was being made.
    Refusal {
        asked: Vec<Event>,
        opening: Option<String>,
    },
    /// Given back to each of these scopes.
    Release(Vec<Event>),
    /// A scope is gone, and what these were given back was its.
    Destroy { name: String, released: Vec<Event> },
}

/// Puts events together, one after the other.
#[derive(Debug, Default)]
pub struct Assembler {
    events: Vec<Event>,
    phase: Phase,
    /// How many of the scopes of a refusal were given back what they had granted; or where the
    /// releases of a move begin.
    mark: usize,
    /// The connection or stream that was made just before.
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
    /// Takes an event, and gives out the operations that are whole now.
    pub fn push(&mut self, event: Event, out: &mut impl FnMut(Operation)) {
        match &event.kind {
            EventKind::Start => {
                self.flush(out);
                out(Operation::Start);
            }
            EventKind::CreateScope => {
                // A protocol's or a peer's scope is made in the middle of the operation that asks it.
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
            Phase::Granting if leaves_transient(&self.events, &event) => {
                self.phase = Phase::Moving;
                self.mark = self.events.len();
            }
            Phase::Moving if continues(&self.events[self.mark..], &event) => {}
            Phase::Releasing if continues(&self.events, &event) => {}
            Phase::Refused if undoes(&self.events, self.mark, &event) => {
                // What was charged and given back is told by the charge alone.
                self.mark += 1;
                return;
            }
            _ => {
                self.flush(out);
                self.phase = Phase::Releasing;
            }
        }
        self.events.push(event);
    }

    /// Gives out what is there, at the end of a trace.
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

/// Whether two events ask for the same, or give back the same.
fn is_same(one: &Event, other: &Event) -> bool {
    one.kind == other.kind && one.amount() == other.amount() && one.priority == other.priority
}

/// Memory comes before streams, and these before connections.
fn rank(event: &Event) -> u8 {
    match &event.kind {
        kind if kind.is_of_memory() => 0,
        kind if kind.is_of_streams() => 1,
        _ => 2,
    }
}

/// The events of the first scope: what each scope is asked for.
fn pattern(events: &[Event]) -> &[Event] {
    let first = events.first().map(Event::scope_name);
    let end = events
        .iter()
        .position(|event| Some(event.scope_name()) != first);
    &events[..end.unwrap_or(events.len())]
}

/// Whether the next event belongs to these: every scope of an operation is asked for the same, each
/// once, and whose operation it is comes last.
fn continues(events: &[Event], next: &Event) -> bool {
    let Some(last) = events.last() else {
        return false;
    };
    let pattern = pattern(events);
    let of_last = events.len() % pattern.len();
    if next.scope_name() == last.scope_name() {
        return match events.len() == pattern.len() {
            true => rank(next) > rank(last) && next.kind.is_grant() == last.kind.is_grant(),
            false => of_last != 0 && is_same(&pattern[of_last], next),
        };
    }
    let is_new = || {
        let mut names = events.iter().map(Event::scope_name);
        names.all(|name| name != next.scope_name())
    };
    let goes_on = !ends_by_itself(class_of(last.scope_name()))
        || owner_of(next.scope_name()) == Some(last.scope_name());
    of_last == 0 && is_same(&pattern[0], next) && goes_on && is_new()
}

/// Whether this is the scope that refused what these had granted.
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

/// Whether this gives back what one of the scopes had granted before another refused.
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

/// Whether this is the first thing that transient is given back after these were charged.
fn leaves_transient(granted: &[Event], event: &Event) -> bool {
    let first = &granted[0];
    is_transient(event.scope_name())
        && is_move(granted)
        && rank(first) == rank(event)
        && first.amount() == event.amount()
}

/// Whether these scopes were charged for a connection or stream that was there already. Whatever is
/// asked of a connection or stream for itself names it; what is asked of another scope directly is
/// asked of system too, and is memory.
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
