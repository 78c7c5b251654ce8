//! Writes single events.

use std::io::{self, Write};
use std::time::SystemTime;

use rcmgr_atomic::record::Record;
use rcmgr_core::{Limit, Resource, ScopeId, ScopeName, ScopeStat};

use crate::trace::event::Event;
use crate::trace::kind::EventKind;
use crate::trace::labels::ScopeLabels;
use crate::trace::limit::RecordedLimit;

/// The resource that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Memory,
    Streams,
    Conns,
}

pub const GROUPS: [Group; 3] = [Group::Memory, Group::Streams, Group::Conns];

#[derive(Debug, Clone, Copy)]
pub enum Verb {
    Grant,
    Refuse,
    Release,
}

impl Group {
    pub fn of(resource: Resource) -> Self {
        match resource {
            Resource::Memory => Self::Memory,
            Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
                Self::Streams
            }
            _ => Self::Conns,
        }
    }

    fn kind(self, verb: Verb) -> EventKind {
        match (self, verb) {
            (Self::Memory, Verb::Grant) => EventKind::ReserveMemory,
            (Self::Memory, Verb::Refuse) => EventKind::BlockReserveMemory,
            (Self::Memory, Verb::Release) => EventKind::ReleaseMemory,
            (Self::Streams, Verb::Grant) => EventKind::AddStream,
            (Self::Streams, Verb::Refuse) => EventKind::BlockAddStream,
            (Self::Streams, Verb::Release) => EventKind::RemoveStream,
            (Self::Conns, Verb::Grant) => EventKind::AddConn,
            (Self::Conns, Verb::Refuse) => EventKind::BlockAddConn,
            (Self::Conns, Verb::Release) => EventKind::RemoveConn,
        }
    }

    /// The part of an amount that belongs to the group: `Delta`, `DeltaIn`, `DeltaOut`.
    fn deltas(self, amount: &ScopeStat) -> [u64; 3] {
        match self {
            Self::Memory => [amount.memory, 0, 0],
            Self::Streams => [0, amount.streams_inbound, amount.streams_outbound],
            Self::Conns => [amount.fd, amount.conns_inbound, amount.conns_outbound],
        }
    }
}

/// Writes an event about an amount. The scope is that of `event`, and `held` is its usage after the
/// event. Zero amounts are not written. Nothing is written of nothing.
pub fn write_amount(
    event: &mut Event,
    (verb, group): (Verb, Group),
    (amount, level): (&ScopeStat, u8),
    held: &ScopeStat,
    to: &mut impl Write,
) -> io::Result<()> {
    let deltas = group.deltas(amount);
    if deltas == [0; 3] {
        return Ok(());
    }
    write_change(event, (verb, group), (deltas, level), held, to)
}

pub fn write_change(
    event: &mut Event,
    (verb, group): (Verb, Group),
    (deltas, level): ([u64; 3], u8),
    held: &ScopeStat,
    to: &mut impl Write,
) -> io::Result<()> {
    event.kind = group.kind(verb);
    event.limit = None;
    let signed = |delta: u64| {
        let delta = i64::try_from(delta).unwrap_or(i64::MAX);
        if matches!(verb, Verb::Release) {
            -delta
        } else {
            delta
        }
    };
    [event.delta, event.delta_in, event.delta_out] = deltas.map(signed);
    let with_priority = group == Group::Memory && !matches!(verb, Verb::Release);
    event.priority = if with_priority { level } else { 0 };
    event.memory = if group == Group::Memory {
        held.memory
    } else {
        0
    };
    let is_streams = group == Group::Streams;
    event.streams_in = if is_streams { held.streams_inbound } else { 0 };
    event.streams_out = if is_streams { held.streams_outbound } else { 0 };
    let is_conns = group == Group::Conns;
    event.conns_in = if is_conns { held.conns_inbound } else { 0 };
    event.conns_out = if is_conns { held.conns_outbound } else { 0 };
    event.fd = if is_conns { held.fd } else { 0 };
    event.write_line(to)
}

/// An event with the name and the labels of a scope, and all other fields empty.
pub fn event_of(time: &str, name: &ScopeName) -> Event {
    Event {
        time: time.to_owned(),
        scope: Some(labels(name)),
        name: Some(name.exact().to_string()),
        ..Event::new(SystemTime::UNIX_EPOCH, EventKind::CreateScope)
    }
}

pub fn text(time: SystemTime) -> String {
    Event::new(time, EventKind::Start).time
}

fn labels(name: &ScopeName) -> ScopeLabels {
    let spans = name.spans.to_string();
    let with_spans = |part: &dyn std::fmt::Display| Some(format!("{part}{spans}"));
    let mut labels = ScopeLabels {
        class: name.scope.class().as_str().into(),
        ..ScopeLabels::default()
    };
    match &name.scope {
        ScopeId::Service(service) => labels.service = with_spans(service),
        ScopeId::Protocol(protocol) => labels.protocol = with_spans(protocol),
        ScopeId::ServicePeer(service, peer) => {
            labels.service = Some(service.to_string());
            labels.peer = with_spans(peer);
        }
        ScopeId::ProtocolPeer(protocol, peer) => {
            labels.protocol = Some(protocol.to_string());
            labels.peer = with_spans(peer);
        }
        ScopeId::Peer(peer) => labels.peer = with_spans(peer),
        ScopeId::Connection(number) => labels.conn = with_spans(number),
        ScopeId::Stream(number) => labels.stream = with_spans(number),
        // These scopes have no part that could carry the span.
        _ => labels.span = spans.strip_prefix('.').map(str::to_owned),
    }
    labels
}

pub fn write_create(event: &mut Event, limit: Limit, to: &mut impl Write) -> io::Result<()> {
    let (scope, name, time) = (event.scope.take(), event.name.take(), event.time.clone());
    *event = Event {
        scope,
        name,
        time,
        limit: Some(RecordedLimit::from(limit)),
        ..Event::new(SystemTime::UNIX_EPOCH, EventKind::CreateScope)
    };
    event.write_line(to)?;
    event.limit = None;
    Ok(())
}

pub fn write_destroy(event: &mut Event, to: &mut impl Write) -> io::Result<()> {
    let (scope, name, time) = (event.scope.take(), event.name.take(), event.time.clone());
    *event = Event {
        scope,
        name,
        time,
        ..Event::new(SystemTime::UNIX_EPOCH, EventKind::DestroyScope)
    };
    event.write_line(to)
}

pub fn write_start(time: SystemTime, to: &mut impl Write) -> io::Result<()> {
    Event {
        limit: Some(RecordedLimit::default()),
        ..Event::new(time, EventKind::Start)
    }
    .write_line(to)
}

/// Writes the event of the connection, stream or span itself.
pub fn write_own(
    event: &mut Event,
    verb: Verb,
    record: &Record,
    to: &mut impl Write,
) -> io::Result<()> {
    let amount = record.amount();
    let held = ScopeStat {
        memory: record.total(),
        ..amount
    };
    for group in GROUPS {
        write_amount(event, (verb, group), (&amount, record.level()), &held, to)?;
    }
    Ok(())
}
