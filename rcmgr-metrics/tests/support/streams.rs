//! A long trace of streams that come and go.

use std::collections::VecDeque;
use std::io::{self, Write};

/// The scopes of one live stream: itself, its peer, and its peer's share of the protocol.
const SCOPES: u64 = 3;

/// Writes a trace of at least this many events, in which about `live` scopes live at a time. Returns
/// the number of events.
///
/// Each stream is of another peer. Half of the live ones wait in transient for their protocol, so
/// that it is always the oldest that gets one. Now and then the system scope refuses memory.
pub fn write_streams(to: &mut impl Write, events: u64, live: u64) -> io::Result<u64> {
    let mut trace = Streams {
        to,
        events: 0,
        waiting: VecDeque::new(),
        attached: VecDeque::new(),
        memory: 0,
    };
    let each = (live / SCOPES / 2).max(1) as usize;
    trace.line("start", "", "", r#""Limit":{}"#)?;
    for number in 0.. {
        if trace.events >= events {
            break;
        }
        trace.open(number)?;
        if trace.waiting.len() > each {
            trace.attach()?;
        }
        if trace.attached.len() > each {
            trace.end()?;
        }
        if number % 16 == 0 {
            trace.refuse()?;
        }
    }
    Ok(trace.events)
}

struct Streams<'a, W> {
    to: &'a mut W,
    events: u64,
    /// The numbers of the streams in transient, and of those with a protocol.
    waiting: VecDeque<u64>,
    attached: VecDeque<u64>,
    memory: u64,
}

const SYSTEM: &str = r#"{"Class":"system"}"#;
const TRANSIENT: &str = r#"{"Class":"transient"}"#;
const PROTOCOL: &str = r#"{"Class":"protocol","Protocol":"/a"}"#;
/// What each stream with a protocol holds.
const MEMORY: u64 = 4096;

impl<W: Write> Streams<'_, W> {
    fn line(&mut self, kind: &str, name: &str, labels: &str, rest: &str) -> io::Result<()> {
        let millis = self.events;
        self.events += 1;
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            self.to,
            r#"{{"Time":"2026-11-22T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z","Type":"{kind}""#,
        )?;
        if !name.is_empty() {
            write!(self.to, r#","Scope":{labels},"Name":"{name}""#)?;
        }
        if !rest.is_empty() {
            write!(self.to, ",{rest}")?;
        }
        self.to.write_all(b"}\n")
    }

    fn of_peer(&mut self, kind: &str, number: u64, rest: &str) -> io::Result<()> {
        let labels = format!(r#"{{"Class":"peer","Peer":"p{number}"}}"#);
        self.line(kind, &format!("peer:p{number}"), &labels, rest)
    }

    fn of_share(&mut self, kind: &str, number: u64, rest: &str) -> io::Result<()> {
        let labels = format!(r#"{{"Class":"protocol-peer","Protocol":"/a","Peer":"p{number}"}}"#);
        self.line(kind, &format!("protocol:/a.peer:p{number}"), &labels, rest)
    }

    fn of_stream(&mut self, kind: &str, number: u64, rest: &str) -> io::Result<()> {
        let labels = format!(r#"{{"Class":"stream","Stream":"{number}"}}"#);
        self.line(kind, &format!("stream-{number}"), &labels, rest)
    }

    fn streams(&self) -> usize {
        self.waiting.len() + self.attached.len()
    }

    fn open(&mut self, number: u64) -> io::Result<()> {
        self.waiting.push_back(number);
        let one = r#""DeltaIn":1,"StreamsIn":1"#;
        let limit = r#""Limit":{"StreamsInbound":8,"Streams":16,"Memory":1048576}"#;
        self.of_peer("create_scope", number, limit)?;
        self.of_stream("create_scope", number, limit)?;
        self.of_peer("add_stream", number, one)?;
        let (waiting, all) = (self.waiting.len(), self.streams());
        let total = |count| format!(r#""DeltaIn":1,"StreamsIn":{count}"#);
        self.line("add_stream", "transient", TRANSIENT, &total(waiting))?;
        self.line("add_stream", "system", SYSTEM, &total(all))?;
        self.of_stream("add_stream", number, one)
    }

    /// The oldest stream in transient gets its protocol, and reserves memory.
    fn attach(&mut self) -> io::Result<()> {
        let Some(number) = self.waiting.pop_front() else {
            return Ok(());
        };
        self.attached.push_back(number);
        let (waiting, attached) = (self.waiting.len(), self.attached.len());
        let one = r#""DeltaIn":1,"StreamsIn":1"#;
        let total = format!(r#""DeltaIn":1,"StreamsIn":{attached}"#);
        self.line("add_stream", "protocol:/a", PROTOCOL, &total)?;
        self.of_share("create_scope", number, r#""Limit":{"StreamsInbound":8}"#)?;
        self.of_share("add_stream", number, one)?;
        let total = format!(r#""DeltaIn":-1,"StreamsIn":{waiting}"#);
        self.line("remove_stream", "transient", TRANSIENT, &total)?;
        self.memory += MEMORY;
        let one = format!(r#""Priority":255,"Delta":{MEMORY},"Memory":{MEMORY}"#);
        let all = format!(
            r#""Priority":255,"Delta":{MEMORY},"Memory":{}"#,
            self.memory
        );
        self.of_peer("reserve_memory", number, &one)?;
        self.of_share("reserve_memory", number, &one)?;
        self.line("reserve_memory", "protocol:/a", PROTOCOL, &all)?;
        self.line("reserve_memory", "system", SYSTEM, &all)?;
        self.of_stream("reserve_memory", number, &one)
    }

    /// The oldest stream with a protocol ends.
    fn end(&mut self) -> io::Result<()> {
        let Some(number) = self.attached.pop_front() else {
            return Ok(());
        };
        self.memory -= MEMORY;
        let (attached, all) = (self.attached.len(), self.streams());
        let memory = |left| format!(r#""Delta":-{MEMORY},"Memory":{left}"#);
        let (none, left) = (memory(0), memory(self.memory));
        let streams = |left| format!(r#""DeltaIn":-1,"StreamsIn":{left}"#);
        self.of_peer("release_memory", number, &none)?;
        self.of_peer("remove_stream", number, &streams(0))?;
        self.of_share("release_memory", number, &none)?;
        self.of_share("remove_stream", number, &streams(0))?;
        self.line("release_memory", "protocol:/a", PROTOCOL, &left)?;
        self.line("remove_stream", "protocol:/a", PROTOCOL, &streams(attached))?;
        self.line("release_memory", "system", SYSTEM, &left)?;
        self.line("remove_stream", "system", SYSTEM, &streams(all))?;
        self.of_stream("destroy_scope", number, "")?;
        self.of_share("destroy_scope", number, "")?;
        self.of_peer("destroy_scope", number, "")
    }

    /// The system scope refuses memory to the latest stream with a protocol.
    fn refuse(&mut self) -> io::Result<()> {
        let Some(&number) = self.attached.back() else {
            return Ok(());
        };
        let asked = |total| format!(r#""Priority":101,"Delta":512,"Memory":{total}"#);
        let granted = self.memory + 512;
        self.of_peer("reserve_memory", number, &asked(MEMORY + 512))?;
        self.of_share("reserve_memory", number, &asked(MEMORY + 512))?;
        self.line("reserve_memory", "protocol:/a", PROTOCOL, &asked(granted))?;
        let memory = self.memory;
        self.line("block_reserve_memory", "system", SYSTEM, &asked(memory))?;
        let undone = |total| format!(r#""Delta":-512,"Memory":{total}"#);
        self.of_peer("release_memory", number, &undone(MEMORY))?;
        self.of_share("release_memory", number, &undone(MEMORY))?;
        self.line("release_memory", "protocol:/a", PROTOCOL, &undone(memory))
    }
}
