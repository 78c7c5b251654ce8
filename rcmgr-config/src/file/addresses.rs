//! Interprets the limits by address of a file.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use rcmgr_core::address::canonical_network;
use rcmgr_core::ipnet::{IpNet, Ipv6Net};
use rcmgr_core::{AddressConfig, AddressLimits, BadConfiguration, LimitValue, Resource, shown};

use super::address_lists::{add_network, add_rate, add_subnet, check};
use super::mistakes::Mistakes;
use super::names::{bad, bad_at, kind, path, quoted_path, table, unique, unknown};
use super::rate::{BLOCK_ALL, rate_value};
use super::tree::{Entry, Value};
use super::value::limit_value;
use crate::{AddressKey, AddressList, FileFormat, PartialAddresses};

/// The line of each setting by address.
pub(super) type AddressLines = BTreeMap<AddressKey, usize>;

/// The maximum number of NAT64 prefixes, which are compared with each other and with each network.
const MAX_NAT64: usize = 16;

/// The settings of the table.
pub(super) const KEYS: [&str; 8] = [
    "ReferenceDefaults",
    "Trusted",
    "TrustLoopback",
    "Allowlist",
    "NAT64",
    "Subnets",
    "Networks",
    "Rates",
];

pub(super) struct Addresses<'m> {
    format: FileFormat,
    mistakes: &'m mut Mistakes,
    reference_defaults: bool,
    config: AddressConfig,
    /// The lists that the file sets.
    set: BTreeSet<AddressList>,
    /// Whether the file says anything about loopback, `default` included.
    names_loopback: bool,
    lines: AddressLines,
    /// The path and line of each setting, to detect one that is set under two names.
    given: BTreeMap<AddressKey, (String, usize)>,
}

/// The subnet sizes and the networks are keys of the same form in all tables.
enum Key {
    V4(u8),
    V6(u8),
    /// A family without a size, or `Networks`: `"unlimited"` removes its limits.
    Whole(Whole),
    Network(IpNet),
    Other,
}

enum Whole {
    V4,
    V6,
    Networks,
}

impl Key {
    fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "ipv4" => return Self::Whole(Whole::V4),
            "ipv6" => return Self::Whole(Whole::V6),
            "networks" => return Self::Whole(Whole::Networks),
            _ => {}
        }
        if let Some((family, len)) = name.split_once('/')
            // `parse` also reads a number with a `+`.
            && len.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(len) = len.parse()
        {
            if family.eq_ignore_ascii_case("ipv4") {
                return Self::V4(len);
            }
            if family.eq_ignore_ascii_case("ipv6") {
                return Self::V6(len);
            }
        }
        network(name).map_or(Self::Other, Self::Network)
    }
}

/// A network, or a single address as a network.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = text.parse().ok();
    let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.map(canonical_network)
}

impl<'m> Addresses<'m> {
    pub(super) fn new(format: FileFormat, mistakes: &'m mut Mistakes) -> Self {
        Self {
            format,
            mistakes,
            reference_defaults: false,
            config: AddressConfig::none(),
            set: BTreeSet::new(),
            names_loopback: false,
            lines: BTreeMap::new(),
            given: BTreeMap::new(),
        }
    }

    /// The settings and their lines.
    pub(super) fn finish(mut self, within: &str) -> (PartialAddresses, AddressLines) {
        // An empty list says that nothing is trusted, loopback included.
        if let Some(&line) = self.lines.get(&AddressKey::Trusted)
            && self.config.trusted.is_empty()
            && !self.names_loopback
        {
            self.config.trust_loopback = false;
            self.sets(AddressKey::TrustLoopback, line);
        }
        // Each setting was checked by itself. What is left are networks that are the same because
        // of the prefixes of NAT64.
        let values = match AddressLimits::new(self.config) {
            Ok(values) => values,
            Err(error) => {
                let line = self.lines.values().min().copied().unwrap_or(1);
                self.mistakes.add(bad_at(line, within, error.reason));
                return Default::default();
            }
        };
        let partial = PartialAddresses::new(values, self.set);
        let partial = partial.start_from_reference_defaults(self.reference_defaults);
        (partial, self.lines)
    }

    /// Interprets the table of all settings.
    pub(super) fn table(&mut self, entry: &Entry<'_>, within: &str) {
        let entries = table(entry, within, "settings such as Subnets", self.format);
        let Some(entries) = self.mistakes.ok(entries) else {
            return;
        };
        let mut entries = unique(entries, within, self.mistakes);
        // The prefixes of NAT64 decide which networks are valid, so they come first.
        entries.sort_by_key(|entry| entry.name != "NAT64");
        for entry in entries {
            let path = path(within, &entry.name);
            match entry.name.as_ref() {
                "ReferenceDefaults" => self.reference_defaults(entry, &path),
                "Trusted" => self.trusted(entry, &path),
                "TrustLoopback" => self.trust_loopback(entry, &path),
                "Allowlist" => self.allowlist(entry, &path),
                "NAT64" => self.nat64(entry, &path),
                "Subnets" => self.subnets(entry, &path),
                "Networks" => self.networks(entry, &path),
                "Rates" => self.rates(entry, &path),
                _ => self.mistakes.add(unknown(entry, &path, &KEYS)),
            }
        }
    }

    fn reference_defaults(&mut self, entry: &Entry<'_>, path: &str) {
        if let Some(value) = self.flag(entry, path) {
            self.reference_defaults = value;
        }
    }

    fn trust_loopback(&mut self, entry: &Entry<'_>, path: &str) {
        self.names_loopback = true;
        if let Some(value) = self.flag(entry, path) {
            self.config.trust_loopback = value;
            self.sets(AddressKey::TrustLoopback, entry.line);
        }
    }

    /// Yes or no; `None` for the default.
    fn flag(&mut self, entry: &Entry<'_>, path: &str) -> Option<bool> {
        match &entry.value {
            Value::Boolean(value) => Some(*value),
            Value::Null => None,
            Value::Text(text) if text == "default" => None,
            other => {
                let found = kind(other, self.format);
                let reason = format!("expected true or false, found {found}");
                self.mistakes.add(bad(entry, path, reason));
                None
            }
        }
    }

    fn trusted(&mut self, entry: &Entry<'_>, path: &str) {
        let nat64 = self.config.nat64.clone();
        let mut seen = HashSet::new();
        let read = |text: &str| {
            let network = network(text).ok_or_else(|| {
                format!(
                    "{:?} is neither a network such as \"10.0.0.0/8\" nor an address",
                    shown(text)
                )
            })?;
            if !seen.insert(network) {
                return Err(format!("{network} is listed twice"));
            }
            check(AddressConfig {
                trusted: vec![network],
                nat64: nat64.clone(),
                ..AddressConfig::none()
            })?;
            Ok(network)
        };
        if let Some(networks) = self.list(entry, path, "networks", AddressKey::Trusted, read) {
            self.config.trusted = networks;
        }
    }

    /// Interprets the allowlist, also that of kubo.
    pub(super) fn allowlist(&mut self, entry: &Entry<'_>, path: &str) {
        let read = |text: &str| {
            text.trim()
                .parse()
                .map_err(|error: BadConfiguration| error.reason)
        };
        let of = "multiaddrs, networks or peers";
        if let Some(entries) = self.list(entry, path, of, AddressKey::Allowlist, read) {
            self.config.allowlist = entries;
        }
    }

    fn nat64(&mut self, entry: &Entry<'_>, path: &str) {
        let mut prefixes = Vec::new();
        let read = |text: &str| {
            let prefix: Ipv6Net = text.trim().parse().map_err(|_| {
                format!(
                    "{:?} is not an IPv6 prefix such as \"2001:db8:64::/96\"",
                    shown(text)
                )
            })?;
            if prefixes.len() == MAX_NAT64 {
                return Err(format!("at most {MAX_NAT64} prefixes are allowed"));
            }
            check(AddressConfig {
                nat64: [prefixes.as_slice(), &[prefix]].concat(),
                ..AddressConfig::none()
            })?;
            prefixes.push(prefix);
            Ok(prefix)
        };
        if let Some(prefixes) = self.list(entry, path, "IPv6 prefixes", AddressKey::Nat64, read) {
            self.config.nat64 = prefixes;
        }
    }

    /// The elements of a list. `None` for the default. Each mistake has the line of its element.
    fn list<T>(
        &mut self,
        entry: &Entry<'_>,
        path: &str,
        of: &str,
        key: AddressKey,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let elements = match &entry.value {
            Value::List(elements) => elements,
            Value::Null => return None,
            Value::Text(text) if text == "default" => return None,
            other => {
                let found = kind(other, self.format);
                let reason = format!("expected an array of {of}, found {found}");
                self.mistakes.add(bad(entry, path, reason));
                return None;
            }
        };
        let mut entries = Vec::with_capacity(elements.len());
        for element in elements {
            let read = match &element.value {
                Value::Text(text) => read(text),
                other => Err(format!(
                    "expected {of} as strings, found {}",
                    kind(other, self.format)
                )),
            };
            let read = read.map_err(|reason| bad_at(element.line, path, reason));
            entries.extend(self.mistakes.ok(read));
        }
        self.sets(key, entry.line);
        Some(entries)
    }

    fn subnets(&mut self, entry: &Entry<'_>, within: &str) {
        let lists = [AddressList::SubnetsV4, AddressList::SubnetsV6];
        for entry in self.group(entry, within, "subnet sizes such as \"IPv4/32\"", &lists) {
            let path = quoted_path(within, &entry.name);
            let read = match Key::of(&entry.name) {
                Key::V4(len) => self.subnet(AddressKey::SubnetV4(len), &path, entry),
                Key::V6(len) => self.subnet(AddressKey::SubnetV6(len), &path, entry),
                Key::Whole(Whole::V4) => self.whole(AddressList::SubnetsV4, entry),
                Key::Whole(Whole::V6) => self.whole(AddressList::SubnetsV6, entry),
                Key::Network(_) => Err("the limit of a network is in Addresses.Networks".into()),
                _ => Err("expected a subnet size such as \"IPv4/32\" or \"IPv6/56\"".into()),
            };
            let read = read.map_err(|reason| bad(entry, &path, reason));
            self.mistakes.ok(read);
        }
    }

    fn subnet(&mut self, key: AddressKey, path: &str, entry: &Entry<'_>) -> Result<(), String> {
        self.once(key, path, entry)?;
        let Some(value) = limit_value(Resource::Conns, &entry.value, self.format)? else {
            return Ok(());
        };
        // A size without a limit is not in the list, but its length is checked too.
        let mut checked = AddressConfig::none();
        match value {
            LimitValue::Limited(conns) => {
                checked.subnets.v4.clone_from(&self.config.subnets.v4);
                checked.subnets.v6.clone_from(&self.config.subnets.v6);
                add_subnet(&mut checked, key, conns);
                check(checked)?;
                add_subnet(&mut self.config, key, conns);
            }
            LimitValue::Unlimited => {
                add_subnet(&mut checked, key, 0);
                check(checked)?;
            }
        }
        self.sets(key, entry.line);
        Ok(())
    }

    fn networks(&mut self, entry: &Entry<'_>, within: &str) {
        let of = "networks such as \"198.51.100.0/24\"";
        for entry in self.group(entry, within, of, &[AddressList::Networks]) {
            let path = quoted_path(within, &entry.name);
            let read = match Key::of(&entry.name) {
                Key::Network(network) => self.network(network, &path, entry),
                Key::V4(_) | Key::V6(_) => {
                    Err("the limit of each subnet of a size is in Addresses.Subnets".into())
                }
                _ => Err("expected a network such as \"198.51.100.0/24\"".into()),
            };
            let read = read.map_err(|reason| bad(entry, &path, reason));
            self.mistakes.ok(read);
        }
    }

    fn network(&mut self, network: IpNet, path: &str, entry: &Entry<'_>) -> Result<(), String> {
        let key = AddressKey::Network(network);
        self.once(key, path, entry)?;
        if let Some(conns) = limit_value(Resource::Conns, &entry.value, self.format)? {
            let mut checked = self.only_nat64();
            add_network(&mut checked, network, conns);
            check(checked)?;
            add_network(&mut self.config, network, conns);
            self.sets(key, entry.line);
        }
        Ok(())
    }

    fn rates(&mut self, entry: &Entry<'_>, within: &str) {
        let lists = [
            AddressList::GlobalRate,
            AddressList::RatesV4,
            AddressList::RatesV6,
            AddressList::NetworkRates,
        ];
        for entry in self.group(entry, within, "rates such as \"IPv4/32\"", &lists) {
            let plain = entry.name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let path = match plain {
                true => path(within, &entry.name),
                false => quoted_path(within, &entry.name),
            };
            let read = match Key::of(&entry.name) {
                Key::V4(len) => self.rate(AddressKey::RateV4(len), &path, entry),
                Key::V6(len) => self.rate(AddressKey::RateV6(len), &path, entry),
                Key::Network(network) => self.rate(AddressKey::NetworkRate(network), &path, entry),
                Key::Whole(Whole::V4) => self.whole(AddressList::RatesV4, entry),
                Key::Whole(Whole::V6) => self.whole(AddressList::RatesV6, entry),
                Key::Whole(Whole::Networks) => self.whole(AddressList::NetworkRates, entry),
                Key::Other if entry.name == "Global" => {
                    self.rate(AddressKey::GlobalRate, &path, entry)
                }
                Key::Other => {
                    Err("expected Global, a subnet size such as \"IPv4/32\", or a network".into())
                }
            };
            let read = read.map_err(|reason| bad(entry, &path, reason));
            self.mistakes.ok(read);
        }
    }

    fn rate(&mut self, key: AddressKey, path: &str, entry: &Entry<'_>) -> Result<(), String> {
        self.once(key, path, entry)?;
        let Some(rate) = rate_value(entry, path, self.format, self.mistakes)? else {
            return Ok(());
        };
        // The lists of sizes are checked as a whole; networks by themselves, because there can be
        // many.
        let mut checked = self.only_nat64();
        if rate.is_some() {
            checked.rates.v4.clone_from(&self.config.rates.v4);
            checked.rates.v6.clone_from(&self.config.rates.v6);
        }
        add_rate(&mut checked, key, rate.or(Some(BLOCK_ALL)));
        check(checked)?;
        add_rate(&mut self.config, key, rate);
        self.sets(key, entry.line);
        Ok(())
    }

    /// The entries of a table of settings. `"unlimited"` in its place empties its lists.
    fn group<'t, 'a>(
        &mut self,
        entry: &'t Entry<'a>,
        within: &str,
        of: &str,
        lists: &[AddressList],
    ) -> Vec<&'t Entry<'a>> {
        match &entry.value {
            Value::Text(text) if text == "unlimited" => self.set.extend(lists),
            Value::Text(text) if text == "default" => {}
            _ => {
                let entries = table(entry, within, of, self.format);
                let entries = self.mistakes.ok(entries);
                return entries
                    .map_or_else(Vec::new, |entries| unique(entries, within, self.mistakes));
            }
        }
        Vec::new()
    }

    /// Interprets a key that stands for a whole list.
    fn whole(&mut self, list: AddressList, entry: &Entry<'_>) -> Result<(), String> {
        match &entry.value {
            Value::Null => Ok(()),
            Value::Text(text) if text == "default" => Ok(()),
            Value::Text(text) if text == "unlimited" => {
                self.set.insert(list);
                Ok(())
            }
            _ => Err(
                "expected \"unlimited\" or \"default\"; a number needs a size, as in \"IPv4/32\""
                    .into(),
            ),
        }
    }

    /// A configuration to check one network in.
    fn only_nat64(&self) -> AddressConfig {
        AddressConfig {
            nat64: self.config.nat64.clone(),
            ..AddressConfig::none()
        }
    }

    /// Refuses a setting that was set before under another name.
    fn once(&mut self, key: AddressKey, path: &str, entry: &Entry<'_>) -> Result<(), String> {
        match self.given.get(&key) {
            Some((other, line)) => Err(format!(
                "the same as {other} on line {line}: keep one of them"
            )),
            None => {
                self.given.insert(key, (path.to_owned(), entry.line));
                Ok(())
            }
        }
    }

    /// Records that the file sets this setting, and so its list.
    fn sets(&mut self, key: AddressKey, line: usize) {
        self.set.insert(key.list());
        self.lines.insert(key, line);
    }
}
