//! What the tests of traces share.

#![allow(dead_code, reason = "no test needs all of it")]

use std::fmt::Write;

use rcmgr_core::{Limit, Limits};
use rcmgr_metrics::trace::Event;

/// The limits of each class of scopes in a trace. No scope of the reference's has its own.
pub fn recorded_limits<'a>(
    events: impl IntoIterator<Item = &'a Event>,
) -> Result<Limits, libtest_mimic::Failed> {
    let mut limits = Limits::unlimited();
    for event in events {
        let (Some(recorded), Some(labels)) = (event.limit, &event.scope) else {
            continue;
        };
        let class = match labels.class.as_str() {
            "system" => &mut limits.system,
            "transient" => &mut limits.transient,
            "allowlistedSystem" => &mut limits.allowlisted_system,
            "allowlistedTransient" => &mut limits.allowlisted_transient,
            "service" => limits.service_default.get_or_insert(Limit::UNLIMITED),
            "service-peer" => &mut limits.service_peer_default,
            "protocol" => &mut limits.protocol_default,
            "protocol-peer" => &mut limits.protocol_peer_default,
            "peer" => &mut limits.peer_default,
            "conn" => &mut limits.conn,
            "stream" => &mut limits.stream,
            other => return Err(format!("{other} is no class").into()),
        };
        *class = recorded.into();
    }
    Ok(limits)
}

/// A trace to which events are added, a millisecond apart.
#[derive(Default)]
pub struct Trace {
    pub text: String,
    pub millis: u64,
}

impl Trace {
    /// Adds an event: its type, the scope's name, and the rest of its JSON, such as `"DeltaIn":1`.
    pub fn event(&mut self, kind: &str, name: &str, rest: &str) -> &mut Self {
        let (seconds, millis) = (self.millis / 1000, self.millis % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let scope = match kind {
            "start" => String::new(),
            _ => format!(r#","Scope":{},"Name":{}"#, labels(name), quoted(name)),
        };
        let rest = match rest {
            "" => String::new(),
            rest => format!(",{rest}"),
        };
        writeln!(
            self.text,
            r#"{{"Time":"2026-11-22T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z","Type":"{kind}"{scope}{rest}}}"#,
        )
        .unwrap();
        self.millis += 1;
        self
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// The parts of a name.
fn labels(name: &str) -> String {
    let one = |class: &str, field: &str, value: &str| {
        format!(r#"{{"Class":"{class}","{field}":{}}}"#, quoted(value))
    };
    let two = |class: &str, field: &str, value: &str, peer: &str| {
        let (value, peer) = (quoted(value), quoted(peer));
        format!(r#"{{"Class":"{class}","{field}":{value},"Peer":{peer}}}"#)
    };
    if let Some(number) = name.strip_prefix("conn-") {
        one("conn", "Conn", number)
    } else if let Some(number) = name.strip_prefix("stream-") {
        one("stream", "Stream", number)
    } else if let Some(peer) = name.strip_prefix("peer:") {
        one("peer", "Peer", peer)
    } else if let Some(service) = name.strip_prefix("service:") {
        match service.split_once(".peer:") {
            Some((service, peer)) => two("service-peer", "Service", service, peer),
            None => one("service", "Service", service),
        }
    } else if let Some(protocol) = name.strip_prefix("protocol:") {
        match protocol.split_once(".peer:") {
            Some((protocol, peer)) => two("protocol-peer", "Protocol", protocol, peer),
            None => one("protocol", "Protocol", protocol),
        }
    } else {
        format!(r#"{{"Class":{}}}"#, quoted(name))
    }
}

/// The events of connections that are opened and stay open, four each.
pub fn conn_lines(count: u64) -> String {
    let mut trace = Trace::default();
    for number in 1..=count {
        let conn = format!("conn-{number}");
        let total = format!(r#""DeltaIn":1,"ConnsIn":{number}"#);
        trace
            .event(
                "create_scope",
                &conn,
                r#""Limit":{"Conns":1,"ConnsInbound":1}"#,
            )
            .event("add_conn", "transient", &total)
            .event("add_conn", "system", &total)
            .event("add_conn", &conn, r#""DeltaIn":1,"ConnsIn":1"#);
    }
    trace.text
}
