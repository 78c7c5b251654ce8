//! One event of a trace, and its JSON.

use std::io::{self, Write};
use std::time::SystemTime;

use jiff::Timestamp;
use rcmgr_core::ScopeStat;
use serde::{Deserialize, Serialize};

use super::kind::EventKind;
use super::labels::{ScopeLabels, labels_or_name};
use super::limit::{RecordedLimit, is_zero};
use crate::json;

/// One event of a trace. Names and order of the fields are those of go-libp2p. Fields that are zero
/// or empty are not written.
///
/// ```
/// use rcmgr_metrics::trace::{Event, EventKind};
///
/// let line = r#"{"Time":"2026-11-22T01:03:48.5Z","Type":"remove_conn","Scope":{"Class":"conn","Conn":"7"},"Name":"conn-7","Delta":-1,"DeltaIn":-1}"#;
/// let event: Event = serde_json::from_str(line)?;
/// assert_eq!(event.kind, EventKind::RemoveConn);
/// assert_eq!(event.scope_name(), "conn-7");
/// assert_eq!(event.to_line(), line);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "a JSON object")]
pub struct Event {
    /// The time, in RFC 3339; empty in traces of go-libp2p's first releases.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time: String,
    /// The kind.
    #[serde(rename = "Type")]
    pub kind: EventKind,
    /// The scope, in parts. Early traces have its name instead, which is then split.
    #[serde(default, deserialize_with = "labels_or_name")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeLabels>,
    /// The name of the scope. All events except `start` have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The limit of the scope at its creation. (A `start` has an empty one.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<RecordedLimit>,
    /// For requests of memory: the level of the priority.
    #[serde(default, skip_serializing_if = "is_lowest")]
    pub priority: u8,
    /// Memory in bytes, or file descriptors of connections: the requested amount, or the negative
    /// of the released amount.
    #[serde(default, skip_serializing_if = "is_none")]
    pub delta: i64,
    /// Inbound streams or connections, with the same sign.
    #[serde(default, skip_serializing_if = "is_none")]
    pub delta_in: i64,
    /// Outbound streams or connections, with the same sign.
    #[serde(default, skip_serializing_if = "is_none")]
    pub delta_out: i64,
    /// For events about memory: the memory of the scope after the event, in bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: u64,
    /// For events about streams: the inbound streams after the event.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub streams_in: u64,
    /// For events about streams: the outbound streams after the event.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub streams_out: u64,
    /// For events about connections: the inbound connections after the event.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conns_in: u64,
    /// For events about connections: the outbound connections after the event.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conns_out: u64,
    /// For events about connections: the file descriptors after the event.
    #[serde(rename = "FD", default, skip_serializing_if = "is_zero")]
    pub fd: u64,
}

fn is_none(delta: &i64) -> bool {
    *delta == 0
}

fn is_lowest(priority: &u8) -> bool {
    *priority == 0
}

impl Event {
    /// An event with a time and a kind, and all other fields empty.
    pub fn new(time: SystemTime, kind: EventKind) -> Self {
        Self {
            time: text(time),
            kind,
            scope: None,
            name: None,
            limit: None,
            priority: 0,
            delta: 0,
            delta_in: 0,
            delta_out: 0,
            memory: 0,
            streams_in: 0,
            streams_out: 0,
            conns_in: 0,
            conns_out: 0,
            fd: 0,
        }
    }

    /// The time in nanoseconds since 1970; `None` if the text is not a valid time.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use rcmgr_metrics::trace::{Event, EventKind};
    ///
    /// let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
    /// let event = Event::new(time, EventKind::Start);
    /// assert_eq!(event.time, "1970-01-01T00:00:01.5Z");
    /// assert_eq!(event.unix_nanos(), Some(1_500_000_000));
    /// ```
    pub fn unix_nanos(&self) -> Option<i64> {
        let time: Timestamp = self.time.parse().ok()?;
        time.as_nanosecond().try_into().ok()
    }

    /// The name of the scope; empty for a `start`.
    pub fn scope_name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The requested or released amount: the deltas without their sign.
    pub fn amount(&self) -> ScopeStat {
        let [delta, delta_in, delta_out] =
            [self.delta, self.delta_in, self.delta_out].map(i64::unsigned_abs);
        let mut amount = ScopeStat::ZERO;
        if self.kind.is_of_memory() {
            amount.memory = delta;
        } else if self.kind.is_of_streams() {
            (amount.streams_inbound, amount.streams_outbound) = (delta_in, delta_out);
        } else if self.kind.is_of_conns() {
            (amount.conns_inbound, amount.conns_outbound) = (delta_in, delta_out);
            amount.fd = delta;
        }
        amount
    }

    /// Sets the totals of the event in `usage`, for the resource that the event is about.
    pub fn set_totals(&self, usage: &mut ScopeStat) {
        if self.kind.is_of_memory() {
            usage.memory = self.memory;
        } else if self.kind.is_of_streams() {
            (usage.streams_inbound, usage.streams_outbound) = (self.streams_in, self.streams_out);
        } else if self.kind.is_of_conns() {
            (usage.conns_inbound, usage.conns_outbound) = (self.conns_in, self.conns_out);
            usage.fd = self.fd;
        }
    }

    /// The event as a line of a trace, without the line break.
    pub fn to_line(&self) -> String {
        let mut line = Vec::new();
        self.write_line(&mut line)
            .expect("writing to memory never fails");
        line.pop();
        String::from_utf8(line).expect("JSON is UTF-8")
    }

    /// Writes the event as a line of a trace, byte for byte as go-libp2p does. A number over
    /// 2^63 - 1 is written as 2^63 - 1, because go-libp2p has no larger one.
    ///
    /// # Errors
    ///
    /// The errors of the writer.
    pub fn write_line(&self, to: &mut impl Write) -> io::Result<()> {
        json::write(Escaping(&mut *to), self)?;
        to.write_all(b"\n")
    }
}

fn text(time: SystemTime) -> String {
    let stamp = Timestamp::try_from(time).unwrap_or(match time < SystemTime::UNIX_EPOCH {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    });
    stamp.to_string()
}

/// Escapes JSON as Go does: characters that are markup in HTML are escaped. JSON has none of these
/// characters outside of strings.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // U+2028 and U+2029 are E2 80 A8 and E2 80 A9. A string may be written in pieces, but a
        // piece never ends inside a character.
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| b"<>&\xe2".contains(byte)) {
            let (plain, special) = rest.split_at(at);
            self.0.write_all(plain)?;
            let (escaped, length): (&[u8], _) = match special {
                [b'<', ..] => (b"\\u003c", 1),
                [b'>', ..] => (b"\\u003e", 1),
                [b'&', ..] => (b"\\u0026", 1),
                [0xe2, 0x80, 0xa8, ..] => (b"\\u2028", 3),
                [0xe2, 0x80, 0xa9, ..] => (b"\\u2029", 3),
                other => (&other[..1], 1),
            };
            self.0.write_all(escaped)?;
            rest = &special[length..];
        }
        self.0.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_markup_is_written_as_the_reference_does() {
        let name = "service:<a href=\"x\">&\u{2028}\n\u{1}€";
        let event = Event {
            name: Some(name.into()),
            ..Event::new(SystemTime::UNIX_EPOCH, EventKind::DestroyScope)
        };
        let line = event.to_line();
        let expected = r#"{"Time":"1970-01-01T00:00:00Z","Type":"destroy_scope","Name":"service:\u003ca href=\"x\"\u003e\u0026\u2028\n\u0001€"}"#;
        assert_eq!(line, expected);
        let read: Event = serde_json::from_str(&line).unwrap();
        assert_eq!(read, event);
    }

    #[test]
    fn a_time_may_have_an_offset() {
        let line = r#"{"Time":"2026-11-22T02:00:00.25+01:00","Type":"start"}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(event.unix_nanos(), Some(1_795_309_200_250_000_000));
        assert_eq!(event.to_line(), line);
    }
}
