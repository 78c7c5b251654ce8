//! The settings beside the limits of scopes: the number of requests that may wait, the limits by
//! address, and the dry run.

use std::collections::BTreeMap;

use rcmgr_atomic::{AddressLimits, LimitField, LimitValue, Limits, Resource};
use rcmgr_config::{
    AddressKey, AddressValue, PartialAddresses, PartialLimits, Setting, address_settings,
};
use serde_json::{Value, json};

use super::amount;
use super::configuration::Configuration;
use super::origin::Origin;

/// The key of the number of requests that may wait.
pub const WAITERS: &str = "Waiters";

/// One setting beside those of scopes.
#[derive(Debug)]
pub struct Beside {
    /// Its path in a limits file.
    pub field: String,
    /// The value.
    pub limit: String,
    /// The value in JSON.
    pub json: Value,
    /// For the dry run: the value that is enforced.
    pub enforced: Option<String>,
    /// The origin.
    pub from: String,
}

/// The number of requests that may wait, the limits by address, then the dry run.
pub fn all(configuration: &Configuration<'_>) -> Vec<Beside> {
    let mut settings = vec![waiters(configuration)];
    settings.extend(addresses(configuration));
    settings.extend(dry_run(configuration));
    settings
}

fn waiters(configuration: &Configuration<'_>) -> Beside {
    let waiters = configuration.limits.waiters;
    Beside {
        field: WAITERS.to_owned(),
        limit: waiters.to_string(),
        json: number(waiters),
        enforced: None,
        from: configuration.waiters_origin().to_string(),
    }
}

/// The limits by address, unless there are none.
fn addresses(configuration: &Configuration<'_>) -> Vec<Beside> {
    let addresses = &configuration.limits.addresses;
    if *addresses == AddressLimits::default() {
        return Vec::new();
    }
    let setting = |(key, value): (AddressKey, AddressValue)| Beside {
        field: key.to_string(),
        limit: value.to_string(),
        json: in_json(&value),
        enforced: None,
        from: configuration.address_origin(&key).to_string(),
    };
    address_settings(addresses).map(setting).collect()
}

/// The limits of the dry run that differ from the enforced ones.
fn dry_run(configuration: &Configuration<'_>) -> Vec<Beside> {
    let limits = &configuration.limits;
    let Some(dry_run) = &limits.dry_run else {
        return Vec::new();
    };
    let mut settings = Vec::new();
    for (key, limit) in dry_run.entries() {
        let enforced = limits.lookup(&key);
        for resource in Resource::IN_FILES {
            let value = limit.get(resource);
            let enforced = enforced.map(|enforced| enforced.get(resource));
            if enforced == Some(value) {
                continue;
            }
            let enforced = enforced.map(|enforced| amount::limit(resource, enforced));
            // A name without a line of its own has the limit of its class in the dry run.
            let set_by = [Some(key.clone()), key.class_default()];
            let set_by = set_by.into_iter().flatten().find_map(|key| {
                let field = LimitField { key, resource };
                configuration.dry_run_line_of(&Setting::Field(field))
            });
            let from = set_by.map_or(String::new(), |(path, line)| {
                let path = path.to_owned();
                Origin::File { path, line }.to_string()
            });
            settings.push(Beside {
                field: format!("DryRun.{key}.{resource}"),
                limit: amount::limit(resource, value),
                json: number(value),
                enforced: Some(enforced.unwrap_or_default()),
                from,
            });
        }
    }
    let of_addresses = changes(limits, dry_run).into_iter();
    settings.extend(of_addresses.map(|(key, [enforced, value])| {
        Beside {
            field: format!("DryRun.{key}"),
            limit: text(value.as_ref()),
            json: value.as_ref().map_or(json!("unlimited"), in_json),
            enforced: Some(text(enforced.as_ref())),
            from: configuration
                .dry_run_address_origin(&key)
                .map_or(String::new(), |origin| origin.to_string()),
        }
    }));
    settings
}

/// The limits by address that differ, each in the first and in the second limits.
pub fn changes(first: &Limits, second: &Limits) -> BTreeMap<AddressKey, [Option<AddressValue>; 2]> {
    let mut both: BTreeMap<AddressKey, [Option<AddressValue>; 2]> = BTreeMap::new();
    for (at, limits) in [first, second].into_iter().enumerate() {
        for (key, value) in address_settings(&limits.addresses) {
            both.entry(key).or_default()[at] = Some(value);
        }
    }
    both.retain(|_, [first, second]| first != second);
    both
}

/// All settings beside those of scopes, for a file that has all limits of the scopes. The dry run
/// has the fields that differ from the enforced ones.
pub fn written(limits: &Limits) -> PartialLimits {
    let mut written = PartialLimits {
        waiters: Some(limits.waiters),
        addresses: (&limits.addresses).into(),
        ..PartialLimits::default()
    };
    let Some(dry_run) = &limits.dry_run else {
        return written;
    };
    let lists = changes(limits, dry_run).into_keys().map(|key| key.list());
    let mut partial = PartialLimits {
        addresses: PartialAddresses::new(dry_run.addresses.clone(), lists),
        ..PartialLimits::default()
    };
    let enforced: BTreeMap<_, _> = limits.entries().collect();
    for (key, limit) in dry_run.entries() {
        match enforced.get(&key) {
            Some(enforced) if *enforced == limit => {}
            Some(enforced) => {
                let entry = partial.entry(key);
                for resource in Resource::ALL {
                    let value = limit.get(resource);
                    let differs = value != enforced.get(resource);
                    *entry.get_mut(resource) = differs.then_some(value);
                }
            }
            // A name of the dry run alone: what it leaves out would be as its class.
            None => *partial.entry(key) = (&limit).into(),
        }
    }
    written.dry_run = Some(Box::new(partial));
    written
}

/// A value as text. A setting that is absent limits nothing.
pub fn text(value: Option<&AddressValue>) -> String {
    value.map_or("unlimited".to_owned(), AddressValue::to_string)
}

fn number(value: LimitValue) -> Value {
    value.number().map_or(json!("unlimited"), Value::from)
}

fn in_json(value: &AddressValue) -> Value {
    match value {
        AddressValue::Conns(conns) => number(*conns),
        AddressValue::Rate(None) => json!("unlimited"),
        AddressValue::Rate(Some(rate)) => {
            json!({ "PerSecond": rate.per_second, "Burst": rate.burst })
        }
        AddressValue::List(entries) => json!(entries),
        AddressValue::Flag(value) => json!(value),
    }
}
