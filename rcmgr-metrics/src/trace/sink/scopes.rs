//! Converts records to events, and keeps the usage of each scope.
//!
//! The events of an operation and their order are those of go-libp2p: see [`trace`](crate::trace).
//!
//! A scope may be collected while another thread still runs an operation on it, for a connection or
//! stream that is being closed. Then records of the scope arrive after the record of its
//! collection, possibly after records of a new scope with the same name. All these late charges are
//! released again. So a collected scope first releases what it holds, and later records do not
//! charge it.

use std::io::{self, Write};
use std::time::SystemTime;

use ahash::HashMap;
use rcmgr_atomic::record::{Change, Operation, Record, ScopeRef};
use rcmgr_core::{Limit, ScopeId, ScopeStat};

use super::known::{Known, Sums, groups};
use super::lines::{
    GROUPS, Group, Verb, event_of, text, write_amount, write_create, write_destroy, write_own,
    write_start,
};
use crate::counters::six;
use crate::trace::event::Event;

/// The shared scopes in the trace, and their usage.
#[derive(Debug, Default)]
pub struct Scopes {
    /// By [`ScopeRef::key`].
    known: HashMap<usize, Known>,
    /// The key of the scope that has a name now.
    named: HashMap<ScopeId, usize>,
}

/// The output, and the time of the record.
struct To<'a, W> {
    time: &'a str,
    to: &'a mut W,
}

impl Scopes {
    /// Writes the beginning of a file, so that it can be read on its own: all scopes with their
    /// limits and their usage. The record must be one that has the limits.
    pub fn begin_anew(
        &mut self,
        record: &Record,
        time: SystemTime,
        to: &mut impl Write,
    ) -> io::Result<()> {
        write_start(time, to)?;
        let text = text(time);
        let mut all: Vec<_> = self.known.values_mut().collect();
        all.sort_by(|one, other| one.scope.id().cmp(other.scope.id()));
        for known in all {
            known.event.time.clone_from(&text);
            let limit = record.limit_of(&known.scope).unwrap_or(Limit::UNLIMITED);
            write_create(&mut known.event, limit, to)?;
            let held = six(&known.held.stat());
            known.write_totals(groups(held.map(|held| held > 0)), to)?;
        }
        Ok(())
    }

    /// Writes the events of a record.
    pub fn write(
        &mut self,
        record: &Record,
        time: SystemTime,
        to: &mut impl Write,
    ) -> io::Result<()> {
        if record.operation() == Operation::Start {
            write_start(time, to)?;
        }
        let text = text(time);
        let mut subject = record.subject().map(|name| event_of(&text, &name));
        let mut to = To { time: &text, to };
        match (record.operation(), &mut subject) {
            (Operation::Start, _) => {
                for scope in record.scopes() {
                    self.known(scope, record, &mut to)?;
                }
                Ok(())
            }
            (Operation::Collect, _) => {
                let mut scopes = record.scopes();
                scopes.try_for_each(|scope| self.collected(scope, &mut to))
            }
            (Operation::Begin, Some(span)) => {
                let limit = record.subject_limit().unwrap_or(Limit::UNLIMITED);
                write_create(span, limit, to.to)
            }
            (Operation::Open, Some(leaf)) => self.write_open(record, leaf, &mut to),
            (Operation::End, Some(event)) => {
                for scope in record.scopes() {
                    self.change(scope, record, Verb::Release, &mut to)?;
                }
                write_destroy(event, to.to)
            }
            (Operation::Join | Operation::Leave, _) => self.write_request(record, None, &mut to),
            (_, subject) => self.write_request(record, subject.as_mut(), &mut to),
        }
    }

    fn write_open(
        &mut self,
        record: &Record,
        leaf: &mut Event,
        to: &mut To<'_, impl Write>,
    ) -> io::Result<()> {
        // The scopes of the path are created before the stream.
        for scope in record.scopes() {
            if !self.is_gone(scope) {
                self.known(scope, record, to)?;
            }
        }
        let limit = record.subject_limit().unwrap_or(Limit::UNLIMITED);
        write_create(leaf, limit, to.to)?;
        self.write_request(record, Some(leaf), to)?;
        match record.refusal() {
            Some(_) => write_destroy(leaf, to.to),
            None => Ok(()),
        }
    }

    /// Writes the events of all scopes of a request, and last the event of the subject.
    fn write_request(
        &mut self,
        record: &Record,
        subject: Option<&mut Event>,
        to: &mut To<'_, impl Write>,
    ) -> io::Result<()> {
        let verb = match record.operation() {
            Operation::Release | Operation::Leave => Verb::Release,
            _ => Verb::Grant,
        };
        // Without a subject the request was made on a shared scope. It is the first of the scopes,
        // and its event comes last.
        let is_direct = record.subject().is_none();
        let own = usize::from(is_direct);
        // Granted or released: the other scopes, then the own scope or the subject.
        let Some(refusal) = record.refusal() else {
            let others = record.scopes().skip(own);
            for scope in others.chain(record.scopes().take(own)) {
                self.change(scope, record, verb, to)?;
            }
            return match subject {
                None => Ok(()),
                Some(event) => write_own(event, verb, record, to.to),
            };
        };
        let group = Group::of(refusal.resource);
        let amount = (&record.amount(), record.level());
        // Refused by the subject itself: no shared scope was charged.
        let Some(at) = refusal.scope else {
            let held = ScopeStat {
                memory: record.total(),
                ..ScopeStat::ZERO
            };
            return match subject {
                Some(event) => write_amount(event, (Verb::Refuse, group), amount, &held, to.to),
                None => Ok(()),
            };
        };
        // Refused by a shared scope: the scopes before it granted,
        let asked = || record.scopes().take(at).skip(own);
        for scope in asked() {
            self.change(scope, record, Verb::Grant, to)?;
        }
        // it refused,
        for scope in record.scopes().skip(at).take(1) {
            let is_gone = self.is_gone(scope);
            let known = self.known(scope, record, to)?;
            let held = known.held.stat();
            write_amount(
                &mut known.event,
                (Verb::Refuse, group),
                amount,
                &held,
                to.to,
            )?;
            if is_gone {
                // The refusal created the scope again, unless another one has its name. Remove it
                // again.
                self.forget(scope.key(), to.time, to.to)?;
            }
        }
        // and the others were released again.
        for scope in asked() {
            self.change(scope, record, Verb::Release, to)?;
        }
        Ok(())
    }

    /// Changes the usage of a scope, and writes the event.
    fn change(
        &mut self,
        scope: ScopeRef<'_>,
        record: &Record,
        verb: Verb,
        to: &mut To<'_, impl Write>,
    ) -> io::Result<()> {
        if self.is_gone(scope) {
            return Ok(());
        }
        let known = self.known(scope, record, to)?;
        let amount = record.amount();
        let change = match verb {
            Verb::Grant => Change::More,
            Verb::Release => Change::Less,
            Verb::Refuse => Change::None,
        };
        known.held.add(change, &amount);
        let held = known.held.stat();
        let amount = (&amount, record.level());
        for group in GROUPS {
            write_amount(&mut known.event, (verb, group), amount, &held, to.to)?;
        }
        Ok(())
    }

    /// Whether the collection of the scope is already in the trace.
    fn is_gone(&self, scope: ScopeRef<'_>) -> bool {
        !self.known.contains_key(&scope.key()) && scope.known().is_collected()
    }

    /// The entry of a scope, created if needed. For a collected scope, the entry of the scope that
    /// has its name now.
    fn known(
        &mut self,
        scope: ScopeRef<'_>,
        record: &Record,
        to: &mut To<'_, impl Write>,
    ) -> io::Result<&mut Known> {
        // The common case is a known scope.
        let mut key = scope.key();
        if !self.known.contains_key(&key) {
            match self.named.get(scope.id()).copied() {
                // A late record of a collected scope, whose name belongs to another scope now.
                Some(named) if self.is_gone(scope) => key = named,
                before => {
                    // The scope that had the name is collected, and the record of this comes later.
                    if let Some(before) = before {
                        self.forget(before, to.time, to.to)?;
                    }
                    self.make(scope, record, to)?;
                }
            }
        }
        let known = self.known.get_mut(&key).expect("it was just created");
        if known.event.time != to.time {
            known.event.time.replace_range(.., to.time);
        }
        Ok(known)
    }

    fn make(
        &mut self,
        scope: ScopeRef<'_>,
        record: &Record,
        to: &mut To<'_, impl Write>,
    ) -> io::Result<()> {
        let mut known = Known {
            event: event_of(to.time, &scope.id().clone().into()),
            held: Sums::default(),
            scope: scope.known(),
        };
        let limit = record.limit_of(&known.scope).unwrap_or(Limit::UNLIMITED);
        write_create(&mut known.event, limit, to.to)?;
        known.add_missed(to.to)?;
        self.named.insert(scope.id().clone(), scope.key());
        self.known.insert(scope.key(), known);
        Ok(())
    }

    fn collected(&mut self, scope: ScopeRef<'_>, to: &mut To<'_, impl Write>) -> io::Result<()> {
        scope.known().set_collected();
        self.forget(scope.key(), to.time, to.to)
    }

    /// Removes a scope, if it is known, and releases what it holds.
    fn forget(&mut self, key: usize, time: &str, to: &mut impl Write) -> io::Result<()> {
        let Some(mut known) = self.known.remove(&key) else {
            return Ok(());
        };
        if self.named.get(known.scope.id()) == Some(&key) {
            self.named.remove(known.scope.id());
        }
        known.scope.set_collected();
        known.event.time.replace_range(.., time);
        // A destroyed scope first releases what it holds.
        let (held, nothing) = (known.held.stat(), ScopeStat::ZERO);
        for group in GROUPS {
            let verb = (Verb::Release, group);
            write_amount(&mut known.event, verb, (&held, 0), &nothing, to)?;
        }
        write_destroy(&mut known.event, to)
    }

    /// Adds the changes that were missed since the last call, and writes the new totals. Also
    /// removes the scopes whose collection was missed.
    pub fn add_missed(&mut self, time: SystemTime, to: &mut impl Write) -> io::Result<()> {
        let text = text(time);
        let mut gone = Vec::new();
        for (&key, known) in &mut self.known {
            known.event.time.clone_from(&text);
            known.add_missed(to)?;
            if known.scope.is_collected() {
                gone.push(key);
            }
        }
        gone.into_iter()
            .try_for_each(|key| self.forget(key, &text, to))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rcmgr_atomic::record::Recorder;
    use rcmgr_atomic::{Direction, Limits, Manager, Priority};

    use super::*;

    /// Keeps records, so that the test can write them in another order.
    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Option<Record>>>);

    impl Recorder for Kept {
        fn record(&self, record: Record) {
            self.0.lock().unwrap().push(Some(record));
        }
    }

    /// The events of a peer's scope that is used, collected, created again, used and collected
    /// again. The records are written in this order, as may happen with several threads.
    fn written_of_the_peer(order: [usize; 12]) -> String {
        let kept = Arc::new(Kept::default());
        let mut limits = Limits::unlimited();
        limits.peer_default.memory = 100.into();
        limits.system.streams = 1.into();
        let builder = Manager::builder().limits(limits);
        let manager = builder.recorder(kept.clone()).build().unwrap();
        let peer = "peer-1".parse().unwrap();
        let open = || manager.open_stream(&peer, Direction::Inbound);
        let first = open().unwrap();
        first.reserve_memory(60, Priority::Always).unwrap();
        first.reserve_memory(50, Priority::Always).unwrap_err();
        open().unwrap_err();
        first.release_memory(60);
        drop(first);
        let second = open().unwrap();
        second.reserve_memory(7, Priority::Always).unwrap();
        drop(second);

        let mut records = std::mem::take(&mut *kept.0.lock().unwrap());
        assert_eq!(records.len(), order.len());
        let (mut scopes, mut lines) = (Scopes::default(), Vec::new());
        for at in order {
            let record = records[at].take().expect("each comes once");
            let time = SystemTime::UNIX_EPOCH;
            scopes.write(&record, time, &mut lines).unwrap();
        }
        for (id, key) in &scopes.named {
            assert_eq!(scopes.known[key].held.stat(), ScopeStat::ZERO, "{id}");
        }
        let lines = String::from_utf8(lines).unwrap();
        let events = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let words = events.filter(|event: &Event| event.scope_name() == "peer:peer-1");
        let words = words.map(|event| match event.kind.is_of_memory() {
            true => format!("{} {}", event.kind, event.memory),
            false => event.kind.to_string(),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn late_records_of_a_collected_scope_do_not_change_a_new_one_with_its_name() {
        // The records: start; the first stream opens, reserves, is refused by the peer's scope,
        // another stream is refused by the system, release, end; collection; the second stream
        // opens, reserves, ends; collection.
        let first = "create_scope, add_stream, reserve_memory 60";
        let second = "create_scope, add_stream, reserve_memory 7";
        let others = "add_stream, remove_stream";
        let freed = "release_memory 0, remove_stream, destroy_scope";
        let emptied = "create_scope, add_stream, remove_stream, destroy_scope";
        let refused = "block_reserve_memory";
        let again = format!("{second}, {freed}");
        assert_eq!(
            written_of_the_peer([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
            format!("{first}, {refused} 60, {others}, {freed}, {again}")
        );
        // The refusals and a release are written after the collection,
        let given_back = "remove_stream, release_memory 0, destroy_scope";
        let alone = format!("create_scope, {refused} 0, destroy_scope");
        assert_eq!(
            written_of_the_peer([0, 1, 2, 6, 7, 3, 4, 5, 8, 9, 10, 11]),
            format!("{first}, {given_back}, {alone}, {again}")
        );
        // also with the reservation, after the scope was created again,
        let refused_anew = format!("{second}, {refused} 7, {freed}");
        assert_eq!(
            written_of_the_peer([0, 1, 6, 7, 8, 2, 9, 3, 4, 5, 10, 11]),
            format!("{emptied}, {refused_anew}")
        );
        // which may be written before the collection of the first.
        assert_eq!(
            written_of_the_peer([0, 1, 6, 8, 7, 2, 9, 3, 4, 5, 10, 11]),
            format!("{emptied}, {refused_anew}")
        );
    }
}
