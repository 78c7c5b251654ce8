//! Adds single settings of a limits file to the lists of a configuration by address.

use rcmgr_core::address::{NetworkLimit, NetworkRate, Rate, SubnetLimit, SubnetRate};
use rcmgr_core::ipnet::IpNet;
use rcmgr_core::{AddressConfig, AddressLimits, LimitValue};

use crate::AddressKey;

pub(super) fn add_subnet(config: &mut AddressConfig, key: AddressKey, conns: u64) {
    let subnets = &mut config.subnets;
    match key {
        AddressKey::SubnetV4(prefix_len) => subnets.v4.push(SubnetLimit { prefix_len, conns }),
        AddressKey::SubnetV6(prefix_len) => subnets.v6.push(SubnetLimit { prefix_len, conns }),
        _ => {}
    }
}

pub(super) fn add_network(config: &mut AddressConfig, network: IpNet, conns: LimitValue) {
    let limit = NetworkLimit { network, conns };
    match network {
        IpNet::V4(_) => config.subnets.v4_networks.push(limit),
        IpNet::V6(_) => config.subnets.v6_networks.push(limit),
    }
}

/// Adds a rate. `None` is no limit: a subnet size without one is not in the list.
pub(super) fn add_rate(config: &mut AddressConfig, key: AddressKey, rate: Option<Rate>) {
    let rates = &mut config.rates;
    match (key, rate) {
        (AddressKey::GlobalRate, rate) => rates.global = rate,
        (AddressKey::RateV4(prefix_len), Some(rate)) => {
            rates.v4.push(SubnetRate { prefix_len, rate });
        }
        (AddressKey::RateV6(prefix_len), Some(rate)) => {
            rates.v6.push(SubnetRate { prefix_len, rate });
        }
        (AddressKey::NetworkRate(network), rate) => match network {
            IpNet::V4(_) => rates.v4_networks.push(NetworkRate { network, rate }),
            IpNet::V6(_) => rates.v6_networks.push(NetworkRate { network, rate }),
        },
        _ => {}
    }
}

/// The reason why a configuration is not valid.
pub(super) fn check(config: AddressConfig) -> Result<(), String> {
    let checked = AddressLimits::new(config).map(drop);
    checked.map_err(|error| error.reason)
}
