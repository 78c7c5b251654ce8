//! The address limits in a vector's header: each replaces the default of its kind and family.

use rcmgr_atomic::LimitValue;
use rcmgr_atomic::address::{AddressConfig, NetworkLimit, RateLimits, SubnetLimit, SubnetLimits};
use serde_json::Value;

pub fn addresses(options: &Value) -> AddressConfig {
    let allowlist = options["allowlist"].as_array().into_iter().flatten();
    let mut subnets = SubnetLimits::default();
    let per_subnet = &options["limit_per_subnet"];
    replace(&mut subnets.v4, &per_subnet["v4"], subnet_limit);
    replace(&mut subnets.v6, &per_subnet["v6"], subnet_limit);
    let by_prefix = &options["network_prefix_limit"];
    replace(&mut subnets.v4_networks, &by_prefix["v4"], network_limit);
    replace(&mut subnets.v6_networks, &by_prefix["v6"], network_limit);
    AddressConfig {
        allowlist: allowlist
            .map(|entry| text(entry).parse().expect("a multiaddr"))
            .collect(),
        subnets,
        rates: RateLimits::none(),
    }
}

fn replace<T>(default: &mut Vec<T>, given: &Value, read: impl Fn(&Value) -> T) {
    if let Some(given) = given.as_array() {
        *default = given.iter().map(read).collect();
    }
}

fn subnet_limit(json: &Value) -> SubnetLimit {
    let prefix = json["prefix"].as_u64().expect("a prefix length");
    SubnetLimit {
        prefix_len: u8::try_from(prefix).expect("a prefix length"),
        conns: json["conns"].as_u64().expect("a number of connections"),
    }
}

fn network_limit(json: &Value) -> NetworkLimit {
    let conns = json["conns"].as_u64().expect("a number of connections");
    NetworkLimit {
        network: text(&json["network"]).parse().expect("a network"),
        conns: LimitValue::Limited(conns),
    }
}

fn text(json: &Value) -> &str {
    json.as_str().expect("text")
}
