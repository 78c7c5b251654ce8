//! Interprets the tree as limits: the only code that knows the keys of a limits file.

use std::collections::BTreeMap;

use rcmgr_core::{BadConfiguration, LimitsKey, Resource};

use super::addresses::{self, Addresses};
use super::foreign::{self, Found};
use super::interpreted::Interpreted;
use super::mistakes::{LimitsFileErrors, Mistakes};
use super::names::{WAITERS, bad, path, table, unique, unknown};
use super::tree::{Entry, Value};
use super::value::{count_value, limit_value};
use crate::FileFormat;

/// Another name for `System`, used by the BNB Greenfield storage provider.
const SYSTEM_LIMIT: &str = "SystemLimit";

/// The table of the limits by address.
const ADDRESSES: &str = "Addresses";

/// The table of the dry run.
const DRY_RUN: &str = "DryRun";

/// Interprets the tables of the file, or of its dry run, which has the same tables.
struct Interpreter<'m> {
    format: FileFormat,
    /// Top-level keys that belong to another reader of the file.
    others: &'m [&'m str],
    is_dry_run: bool,
    mistakes: &'m mut Mistakes,
    result: Interpreted,
    /// The name and line of each entry, to detect an entry that is set under two names.
    given: BTreeMap<LimitsKey, (String, usize)>,
}

/// The limits of a file, and the mistakes that the parser found before.
pub(super) fn interpret(
    root: &[Entry<'_>],
    format: FileFormat,
    others: &[&str],
    mut mistakes: Mistakes,
) -> Result<Interpreted, LimitsFileErrors> {
    let found = foreign::limits_in(root, format);
    let result = match mistakes.ok(found) {
        None => Interpreted::default(),
        Some(Found {
            entries,
            within,
            allowlist,
        }) => {
            let mut interpreter = Interpreter::new(format, &mut mistakes);
            interpreter.others = others;
            interpreter.root(entries, &within);
            let mut result = interpreter.result;
            if let Some(entry) = allowlist {
                let mut addresses = Addresses::new(format, &mut mistakes);
                addresses.allowlist(entry, "Swarm.ResourceMgr.Allowlist");
                let (allowlist, lines) = addresses.finish("");
                result.limits.addresses.apply(&allowlist);
                result.address_lines.extend(lines);
            }
            result
        }
    };
    mistakes.none_or(result)
}

impl<'m> Interpreter<'m> {
    fn new(format: FileFormat, mistakes: &'m mut Mistakes) -> Self {
        Self {
            format,
            others: &[],
            is_dry_run: false,
            mistakes,
            result: Interpreted::default(),
            given: BTreeMap::new(),
        }
    }

    /// Interprets the top-level keys: each is a scope, a class of named entries, one of the other
    /// tables, or unknown.
    fn root(&mut self, root: &[Entry<'_>], within: &str) {
        for entry in unique(root, within, self.mistakes) {
            let name = entry.name.as_ref();
            let path = path(within, name);
            if let Some(key) = scope_of(name) {
                self.scope(key, &path, entry);
            } else if LimitsKey::CLASSES.contains(&name) {
                self.class(name, &path, entry);
            } else if name == ADDRESSES {
                let mut addresses = Addresses::new(self.format, self.mistakes);
                addresses.table(entry, &path);
                (self.result.limits.addresses, self.result.address_lines) = addresses.finish(&path);
            } else if name == WAITERS {
                let set = self.waiters(&path, entry);
                self.mistakes.ok(set);
            } else if name == DRY_RUN {
                self.dry_run(&path, entry);
            } else {
                self.mistakes.add(unknown_table(entry, &path, self.others));
            }
        }
    }

    fn waiters(&mut self, path: &str, entry: &Entry<'_>) -> Result<(), BadConfiguration> {
        if self.is_dry_run {
            let reason = "a dry run refuses nothing, so nothing waits in it: remove this key";
            return Err(bad(entry, path, reason.into()));
        }
        let value = count_value(&entry.value, self.format);
        let value = value.map_err(|reason| bad(entry, path, reason))?;
        // "default" leaves it unset.
        if value.is_some() {
            self.result.limits.waiters = value;
            self.result.waiters_line = Some(entry.line);
        }
        Ok(())
    }

    fn dry_run(&mut self, path: &str, entry: &Entry<'_>) {
        if self.is_dry_run {
            let reason = "a dry run has no dry run of its own: remove it".to_owned();
            return self.mistakes.add(bad(entry, path, reason));
        }
        if matches!(entry.value, Value::Null) {
            return;
        }
        let tables = table(entry, path, "limits such as System", self.format);
        let Some(tables) = self.mistakes.ok(tables) else {
            return;
        };
        let mut dry_run = Interpreter::new(self.format, self.mistakes);
        dry_run.is_dry_run = true;
        dry_run.root(tables, path);
        let dry_run = dry_run.result;
        self.result.limits.dry_run = Some(Box::new(dry_run.limits));
        self.result.dry_run_lines = dry_run.lines;
        self.result.dry_run_address_lines = dry_run.address_lines;
    }

    /// Interprets a class: a table with a scope for each name.
    fn class(&mut self, class: &str, path: &str, entry: &Entry<'_>) {
        let named = table(entry, path, "an entry for each name", self.format);
        let Some(named) = self.mistakes.ok(named) else {
            return;
        };
        for entry in unique(named, path, self.mistakes) {
            // `LimitsKey` checks the name: a peer id may be invalid.
            let path = self::path(path, &entry.name);
            let key = format!("{class}.{}", entry.name).parse();
            let key = key.map_err(|error: BadConfiguration| bad(entry, &path, error.reason));
            if let Some(key) = self.mistakes.ok(key) {
                self.scope(key, &path, entry);
            }
        }
    }

    /// Interprets one scope. `path` is its name in the file.
    fn scope(&mut self, key: LimitsKey, path: &str, entry: &Entry<'_>) {
        let fields = table(entry, path, "limits such as Memory", self.format);
        let Some(fields) = self.mistakes.ok(fields) else {
            return;
        };
        // One entry can have two names: System and SystemLimit, or two forms of a peer id.
        if let Some((other, line)) = self.given.get(&key) {
            let reason = format!("the same as {other} on line {line}: keep one of them");
            return self.mistakes.add(bad(entry, path, reason));
        }
        self.given.insert(key.clone(), (path.into(), entry.line));
        // An entry without fields is kept: it is listed with its defaults.
        self.result.limits.entry(key.clone());
        for field in unique(fields, path, self.mistakes) {
            let path = self::path(path, &field.name);
            let set = self.field(&key, &path, field);
            self.mistakes.ok(set);
        }
    }

    fn field(
        &mut self,
        key: &LimitsKey,
        path: &str,
        field: &Entry<'_>,
    ) -> Result<(), BadConfiguration> {
        let known = Resource::IN_FILES;
        let resource = known
            .into_iter()
            .find(|resource| resource.field_name() == field.name)
            .ok_or_else(|| match foreign::unknown_field(&field.name) {
                Some(reason) => bad(field, path, reason.into()),
                None => unknown(field, path, &known.map(Resource::field_name)),
            })?;
        let value = limit_value(resource, &field.value, self.format)
            .map_err(|reason| bad(field, path, reason))?;
        // "default" leaves the field unset.
        if value.is_some() {
            *self.result.limits.entry(key.clone()).get_mut(resource) = value;
            self.result
                .lines
                .insert((key.clone(), resource), field.line);
        }
        Ok(())
    }
}

/// The unnamed key with this name.
fn scope_of(name: &str) -> Option<LimitsKey> {
    match name {
        SYSTEM_LIMIT => Some(LimitsKey::System),
        _ => LimitsKey::SCOPES
            .into_iter()
            .find(|key| key.scope() == name),
    }
}

fn unknown_table(entry: &Entry<'_>, path: &str, others: &[&str]) -> BadConfiguration {
    if let Some(reason) = foreign::unknown_table(&entry.name) {
        return bad(entry, path, reason.into());
    }
    if let Some(reason) = misplaced(&entry.name) {
        return bad(entry, path, reason);
    }
    let known: Vec<&str> = LimitsKey::SCOPES
        .iter()
        .map(|key| key.scope())
        .chain(LimitsKey::CLASSES)
        .chain([SYSTEM_LIMIT, WAITERS, ADDRESSES, DRY_RUN])
        .chain(others.iter().copied())
        .collect();
    unknown(entry, path, &known)
}

/// The table of a known key that stands at the top of a file instead. `Conns` is not a mistyped
/// `Conn`.
fn misplaced(name: &str) -> Option<String> {
    let resources = Resource::IN_FILES;
    let mut fields = resources.into_iter().map(Resource::field_name);
    if let Some(field) = fields.find(|field| field.eq_ignore_ascii_case(name)) {
        return Some(format!(
            "a limit of no scope; it must be in the table of one, such as System.{field}"
        ));
    }
    let is_of_addresses = addresses::KEYS.contains(&name);
    is_of_addresses.then(|| format!("this key must be in {ADDRESSES}"))
}
