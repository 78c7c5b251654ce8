//! The table `[guard]`: settings of the whole proxy.

use std::net::SocketAddr;
use std::time::Duration;

use super::keys::{GUARD as KEYS, LISTEN as KEYS_OF_A_LISTENER};
use super::reader::{Field, Reader};
use crate::{Overflow, Settings, Workers, values};

/// The settings of the whole proxy.
pub(super) struct Guard {
    pub workers: Workers,
    pub overflow: Overflow,
    pub drain: Duration,
    pub view: Option<SocketAddr>,
    pub view_line: Option<usize>,
    /// The line of `dry-run`, if it is true.
    pub dry_run_line: Option<usize>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            workers: Workers {
                count: 1,
                own_descriptors: false,
            },
            overflow: Overflow::default(),
            drain: Settings::DRAIN,
            view: None,
            view_line: None,
            dry_run_line: None,
        }
    }
}

impl Guard {
    pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_, '_>>) -> Self {
        let mut guard = Self::default();
        let table = field.and_then(|field| {
            reader.table_beside(&field, &KEYS, "[[listen]]", &KEYS_OF_A_LISTENER)
        });
        let Some(table) = table else {
            return guard;
        };
        let workers = reader.read(&table, "workers", |field| field.count(Workers::MOST));
        // If the number is wrong, nothing is known about the other option.
        let is_known = workers.is_some() || table.get("workers").is_none();
        guard.workers.count = workers.unwrap_or(1);
        let own = reader.read(&table, "own-descriptors", |field| {
            match field.boolean()? {
                true if !cfg!(target_os = "linux") => Err("only Linux has it".into()),
                true if is_known && guard.workers.count == 1 => {
                    Err("has no effect with one worker: set workers".into())
                }
                own => Ok(own),
            }
        });
        guard.workers.own_descriptors = own.unwrap_or_default();
        if let Some(drain) = reader.read(&table, "drain", Field::duration) {
            guard.drain = drain;
        }
        let words = [("keep", Overflow::Keep), ("shed-idle", Overflow::ShedIdle)];
        let overflow = reader.read(&table, "over-limit", |field| field.word(&words));
        guard.overflow = overflow.unwrap_or_default();
        guard.view = reader.read(&table, "view", |field| {
            values::listen_address(field.text("127.0.0.1:8080")?)
        });
        guard.view_line = table.get("view").map(|field| field.line);
        let dry_run = reader.read(&table, "dry-run", |field| {
            Ok(field.boolean()?.then_some(field.line))
        });
        guard.dry_run_line = dry_run.flatten();
        guard
    }
}
