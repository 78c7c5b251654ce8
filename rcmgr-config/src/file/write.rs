//! Writes limits as JSON and TOML.

use rcmgr_core::{LimitValue, Resource};

use super::output::{Output, Table};
use super::rate::{self, BURST, PER_SECOND};
use crate::{
    AddressKey, AddressList, AddressValue, PartialAddresses, PartialLimit, PartialLimits,
    address_settings,
};

impl PartialLimits {
    /// JSON as go-libp2p writes it, except for line breaks. Unset fields and scopes without a set
    /// field are omitted; named entries are always written. `Memory` is a decimal string.
    ///
    /// [`from_json`](Self::from_json) reads the same limits from it.
    ///
    /// ```
    /// use rcmgr_config::PartialLimits;
    /// use rcmgr_core::LimitValue;
    ///
    /// let mut limits = PartialLimits::default();
    /// limits.conn.fd = Some(LimitValue::Limited(1));
    /// limits.conn.memory = Some(LimitValue::Limited(4096));
    /// let expected = r#"{
    ///   "Conn": {
    ///     "FD": 1,
    ///     "Memory": "4096"
    ///   }
    /// }
    /// "#;
    /// assert_eq!(limits.to_json(), expected);
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        tables(self).to_json()
    }

    /// TOML with the names of the JSON. `Memory` is a number of bytes.
    ///
    /// [`from_toml`](Self::from_toml) reads the same limits from it.
    ///
    /// ```
    /// use rcmgr_config::PartialLimits;
    /// use rcmgr_core::LimitValue;
    ///
    /// let mut limits = PartialLimits::default();
    /// limits.system.conns = Some(LimitValue::Limited(100));
    /// limits.protocol.entry("/a/1.0".into()).or_default().streams = Some(LimitValue::Unlimited);
    /// let expected = r#"[System]
    /// Conns = 100
    ///
    /// [Protocol."/a/1.0"]
    /// Streams = "unlimited"
    /// "#;
    /// assert_eq!(limits.to_toml(), expected);
    /// ```
    #[must_use]
    pub fn to_toml(&self) -> String {
        tables(self).to_toml()
    }
}

/// The top-level tables.
fn tables(limits: &PartialLimits) -> Table {
    let mut root = Table::default();
    // Before all tables, because in TOML a key after the header of a table belongs to the table.
    if let Some(waiters) = limits.waiters {
        root.add("Waiters", count(waiters));
    }
    for (key, limit) in limits.entries() {
        let fields = fields(limit);
        match key.name() {
            Some(name) => root.add_within(key.scope(), name, fields),
            None if !limit.is_default() => root.add(key.scope(), fields),
            None => {}
        }
    }
    if !limits.addresses.is_default() {
        root.add("Addresses", addresses(&limits.addresses));
    }
    if let Some(dry_run) = &limits.dry_run {
        // Nothing waits in a dry run, so a reader takes `Waiters` there for a mistake.
        let dry_run = PartialLimits {
            waiters: None,
            ..(**dry_run).clone()
        };
        root.add("DryRun", tables(&dry_run));
    }
    root
}

/// The set fields, in the order of limits files.
fn fields(limit: &PartialLimit) -> Table {
    let mut fields = Table::default();
    for resource in Resource::IN_FILES {
        let Some(value) = limit.get(resource) else {
            continue;
        };
        let value = match value.number() {
            Some(bytes @ 1..) if resource == Resource::Memory => Output::Bytes(bytes),
            _ => count(value),
        };
        fields.add(resource.field_name(), value);
    }
    fields
}

fn count(value: LimitValue) -> Output {
    match value.number() {
        Some(0) => Output::word("blockAll"),
        Some(number) => Output::Number(number.to_string()),
        None => Output::word("unlimited"),
    }
}

/// The lists that are set.
fn addresses(addresses: &PartialAddresses) -> Table {
    let mut table = Table::default();
    if addresses.starts_from_reference_defaults() {
        table.add("ReferenceDefaults", Output::Number("true".into()));
    }
    let settings: Vec<_> = address_settings(addresses.values()).collect();
    for list in AddressList::ALL {
        if !addresses.sets(list) {
            // Beside an empty list of networks, a reader takes silence for `false`.
            let is_silent = addresses.sets(AddressList::Trusted)
                && addresses.values().trusted.is_empty()
                && list == AddressList::TrustLoopback;
            if is_silent {
                table.add(list.name(), Output::word("default"));
            }
            continue;
        }
        let group = group(list);
        let mut of_list = settings
            .iter()
            .filter(|(key, _)| key.list() == list)
            .peekable();
        // A list without entries has no limits.
        if of_list.peek().is_none() {
            match group {
                // The networks of the subnet limits are a group of their own.
                Some(_) if list == AddressList::Networks => {
                    table.add("Networks", Output::word("unlimited"));
                }
                Some(group) => table.add_within(group, list.name(), Output::word("unlimited")),
                None => {}
            }
        }
        for (key, value) in of_list {
            let value = setting(value);
            match group {
                Some(group) => table.add_within(group, AddressKey::name(key), value),
                None => table.add(list.name(), value),
            }
        }
    }
    table
}

/// The table that contains the settings of a list.
const fn group(list: AddressList) -> Option<&'static str> {
    match list {
        AddressList::Trusted
        | AddressList::TrustLoopback
        | AddressList::Allowlist
        | AddressList::Nat64 => None,
        AddressList::SubnetsV4 | AddressList::SubnetsV6 => Some("Subnets"),
        AddressList::Networks => Some("Networks"),
        AddressList::GlobalRate
        | AddressList::RatesV4
        | AddressList::RatesV6
        | AddressList::NetworkRates => Some("Rates"),
    }
}

fn setting(value: &AddressValue) -> Output {
    match value {
        AddressValue::Conns(value) => count(*value),
        AddressValue::Rate(None) => Output::word("unlimited"),
        AddressValue::Rate(Some(rate)) if *rate == rate::BLOCK_ALL => Output::word("blockAll"),
        AddressValue::Rate(Some(rate)) => Output::Inline(vec![
            // This format of a float is valid in both syntaxes, and is read exactly.
            (PER_SECOND, format!("{:?}", rate.per_second)),
            (BURST, rate.burst.to_string()),
        ]),
        AddressValue::List(entries) => Output::List(entries.clone()),
        AddressValue::Flag(value) => Output::Number(value.to_string()),
    }
}
