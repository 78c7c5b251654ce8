//! A table `[[listen]]`: a listener and its backends.

use std::sync::Arc;
use std::time::Duration;

use rcmgr_core::shown;
use toml::de::DeValue;

use super::keys::{GUARD as KEYS_OF_GUARD, LISTEN as KEYS, NEAR_LIMIT, OF_SESSIONS, TIMEOUTS};
use super::reader::{Field, Reader, Table};
use crate::{Listen, NearLimit, OnRefusal, ProxyProtocol, ProxyVersion, Queue, Timeouts, values};

/// A listener, and the lines that the checks of the whole file report.
pub(super) struct Listener {
    pub listen: Listen,
    pub on_line: usize,
    /// The line of each backend.
    pub to_lines: Vec<usize>,
}

impl Listener {
    /// The listener, unless its address is missing or wrong. All mistakes are recorded.
    pub(super) fn read(reader: &mut Reader<'_>, field: &Field<'_, '_>) -> Option<Self> {
        let table = reader.table_beside(field, &KEYS, "[guard]", &KEYS_OF_GUARD)?;
        for key in ["on", "to"] {
            if table.get(key).is_none() {
                reader.add_at(
                    table.line,
                    &table.path,
                    format!("the key {key:?} is missing"),
                );
            }
        }
        let on = reader.read(&table, "on", |field| {
            values::listen_address(field.text("0.0.0.0:5432")?)
        });
        let (to, to_lines) = backends(reader, &table);
        let service = reader.read(&table, "service", service);
        let proxy_protocol = proxy_protocol(reader, &table);
        let queue = queue(reader, &table);
        let timeouts = timeouts(reader, &table);
        let on_refusal = on_refusal(reader, &table);
        let splice = reader.read(&table, "splice", |field| match field.boolean()? {
            true if !cfg!(target_os = "linux") => Err("only Linux has it".into()),
            splice => Ok(splice),
        });
        Some(Self {
            listen: Listen {
                on: on?,
                to,
                service: service.unwrap_or_else(|| Listen::SERVICE.into()),
                proxy_protocol,
                queue,
                timeouts,
                on_refusal,
                splice: splice.unwrap_or_default(),
            },
            on_line: table.get("on")?.line,
            to_lines,
        })
    }
}

/// The backends and the line of each.
fn backends(reader: &mut Reader<'_>, table: &Table<'_, '_, '_>) -> (Vec<Arc<str>>, Vec<usize>) {
    let Some(field) = table.get("to") else {
        return Default::default();
    };
    let fields = match field.value {
        DeValue::Array(array) if array.is_empty() => {
            reader.add(&field, "empty: a listener needs a backend".into());
            return Default::default();
        }
        DeValue::Array(array) => reader.elements(&field, array),
        _ => vec![field],
    };
    let mut backends: Vec<Arc<str>> = Vec::new();
    let mut lines = Vec::new();
    for field in fields {
        let backend = field.text("10.0.0.2:5432").and_then(values::backend);
        let Some(backend) = reader.ok(&field, backend) else {
            continue;
        };
        if backends.contains(&backend) {
            reader.add(&field, format!("{backend} is given twice"));
            continue;
        }
        backends.push(backend);
        lines.push(field.line);
    }
    (backends, lines)
}

fn service(field: &Field<'_, '_>) -> Result<Arc<str>, String> {
    values::service(field.text("postgres")?)
}

fn proxy_protocol(reader: &mut Reader<'_>, table: &Table<'_, '_, '_>) -> ProxyProtocol {
    let mut protocol = ProxyProtocol::default();
    let Some(table) = table.get("proxy-protocol") else {
        return protocol;
    };
    let Some(table) = reader.table(&table, &["accept-from", "send"]) else {
        return protocol;
    };
    if let Some(field) = table.get("accept-from") {
        let networks = match field.value {
            DeValue::Array(array) => reader.elements(&field, array),
            _ => {
                let reason = format!("expected an array of networks, found {}", field.kind());
                reader.add(&field, reason);
                Vec::new()
            }
        };
        for field in networks {
            let network = field.text("10.0.0.0/8").and_then(values::network);
            protocol.accept_from.extend(reader.ok(&field, network));
        }
    }
    let versions = [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];
    protocol.send = reader.read(&table, "send", |field| field.word(&versions));
    protocol
}

fn queue(reader: &mut Reader<'_>, table: &Table<'_, '_, '_>) -> Option<Queue> {
    let table = reader.table(&table.get("queue")?, &["most", "longest"])?;
    for (key, example) in [("most", "200"), ("longest", "\"2s\"")] {
        if table.get(key).is_none() {
            let reason = format!("the key {key:?} is missing: add {key} = {example}");
            reader.add_at(table.line, &table.path, reason);
        }
    }
    let most = reader.read(&table, "most", |field| field.count(Queue::MOST));
    let longest = reader.read(&table, "longest", Field::nonzero_duration);
    Some(Queue {
        most: most?,
        longest: longest?,
    })
}

fn timeouts(reader: &mut Reader<'_>, table: &Table<'_, '_, '_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let Some(table) = table.get("timeouts") else {
        return timeouts;
    };
    let Some(table) = reader.table(&table, &TIMEOUTS) else {
        return timeouts;
    };
    let [connect, header] =
        ["connect", "header"].map(|key| reader.read(&table, key, Field::nonzero_duration));
    timeouts.connect = connect.unwrap_or(timeouts.connect);
    timeouts.header = header.unwrap_or(timeouts.header);
    let of_sessions = OF_SESSIONS.map(|key| reader.read(&table, key, Field::nonzero_duration));
    let [first_byte, idle, half_closed] = of_sessions;
    Timeouts {
        first_byte,
        idle,
        half_closed,
        near_limit: near_limit(reader, &table, of_sessions),
        ..timeouts
    }
}

/// The timeouts near a limit. Each must be shorter than the usual one.
fn near_limit(
    reader: &mut Reader<'_>,
    timeouts: &Table<'_, '_, '_>,
    usual: [Option<Duration>; 3],
) -> Option<NearLimit> {
    let field = timeouts.get("near-limit")?;
    let table = reader.table(&field, &NEAR_LIMIT)?;
    if OF_SESSIONS.iter().all(|key| table.get(key).is_none()) {
        let reason = format!("no timeout: add one of {}", OF_SESSIONS.join(", "));
        reader.add(&field, reason);
    }
    let from = reader.read(&table, "from", |field| values::percent(field.text("90%")?));
    let mut near = OF_SESSIONS.into_iter().zip(usual).map(|(key, usual)| {
        reader.read(&table, key, |field| {
            let near = field.nonzero_duration()?;
            match usual {
                Some(usual) if near >= usual => Err(format!(
                    "not shorter than {key} = {usual:?}, so it has no effect"
                )),
                _ => Ok(near),
            }
        })
    });
    Some(NearLimit {
        from: from.unwrap_or(NearLimit::FROM),
        first_byte: near.next().flatten(),
        idle: near.next().flatten(),
        half_closed: near.next().flatten(),
    })
}

fn on_refusal(reader: &mut Reader<'_>, table: &Table<'_, '_, '_>) -> OnRefusal {
    let Some(field) = table.get("on-refusal") else {
        return OnRefusal::Close;
    };
    let expected = "expected \"close\", \"reset\" or { reply = \"TEXT\" }";
    let read = match field.value {
        DeValue::String(word) if word == "close" => Ok(OnRefusal::Close),
        DeValue::String(word) if word == "reset" => Ok(OnRefusal::Reset),
        DeValue::String(other) => Err(format!("{expected}, found {:?}", shown(other))),
        DeValue::Table(_) => return reply(reader, &field),
        _ => Err(format!("{expected}, found {}", field.kind())),
    };
    reader.ok(&field, read).unwrap_or_default()
}

fn reply(reader: &mut Reader<'_>, field: &Field<'_, '_>) -> OnRefusal {
    let Some(table) = reader.table(field, &["reply"]) else {
        return OnRefusal::Close;
    };
    if table.get("reply").is_none() {
        reader.add(field, "the key \"reply\" is missing".into());
    }
    let reply = reader.read(&table, "reply", |field| {
        let text = field.text("busy\r\n")?;
        match text.len() {
            0 => Err("empty: write on-refusal = \"close\"".into()),
            length if length > OnRefusal::LONGEST => Err(format!(
                "{length} bytes long: at most {} are sent",
                OnRefusal::LONGEST
            )),
            _ => Ok(OnRefusal::Reply(text.as_bytes().into())),
        }
    });
    reply.unwrap_or_default()
}
