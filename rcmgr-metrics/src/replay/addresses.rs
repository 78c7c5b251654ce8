//! The connections of addresses and subnets, from peers whose ids are IP addresses.

use std::net::IpAddr;

use ahash::HashMap;
use rcmgr_config::{AddressList, PartialAddresses};
use rcmgr_core::address::{AddressConfig, SubnetLimit};
use rcmgr_core::{AddressLimits, canonical_ip};
use serde::Serialize;

/// The sizes of subnets that are counted: those of go-libp2p's default limits.
const V4: [u8; 1] = [32];
const V6: [u8; 2] = [56, 48];

/// The need of the subnets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SubnetNeed {
    /// Whether they are subnets of IPv6.
    pub is_v6: bool,
    /// The size: the number of leading bits that the addresses of a subnet share.
    pub prefix_len: u8,
    /// The highest number of connections of one of these subnets at a time, with a refused one.
    pub conns: u64,
}

/// Counts the connections of each subnet that has some.
#[derive(Debug, Default)]
pub struct Subnets {
    open: HashMap<Subnet, u64>,
    /// In the order of [`Subnets::needs`].
    most: HashMap<(bool, u8), u64>,
}

/// A subnet: whether it is of IPv6, its size, and its leading bits.
type Subnet = (bool, u8, u128);

impl Subnets {
    /// The connections of a peer changed from `before` to `after`, and it refused some.
    pub fn change(&mut self, peer: &str, before: u64, after: u64, refused: u64) {
        // Only an address has connections; loopback is trusted and has no limit.
        let Ok(ip) = peer.parse::<IpAddr>() else {
            return;
        };
        let ip = canonical_ip(ip);
        if ip.is_loopback() {
            return;
        }
        let (is_v6, bits, width) = match ip {
            IpAddr::V4(ip) => (false, u128::from(u32::from(ip)), 32),
            IpAddr::V6(ip) => (true, u128::from(ip), 128),
        };
        let sizes: &[u8] = if is_v6 { &V6 } else { &V4 };
        for &size in sizes {
            let subnet = (is_v6, size, bits >> (width - u32::from(size)));
            let open = self.open.entry(subnet).or_default();
            *open = open.saturating_sub(before).saturating_add(after);
            let most = self.most.entry((is_v6, size)).or_default();
            *most = (*most).max(open.saturating_add(refused));
            if *open == 0 {
                self.open.remove(&subnet);
            }
        }
    }

    /// All connections are gone, because the manager was created again.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// The needs, for the sizes that occurred.
    pub fn needs(&self) -> Vec<SubnetNeed> {
        let sizes = V4.map(|size| (false, size)).into_iter();
        let sizes = sizes.chain(V6.map(|size| (true, size)));
        let need = |(is_v6, prefix_len)| {
            let &conns = self.most.get(&(is_v6, prefix_len))?;
            (conns > 0).then_some(SubnetNeed {
                is_v6,
                prefix_len,
                conns,
            })
        };
        sizes.filter_map(need).collect()
    }
}

/// The limits of subnets for these needs; `limit` gives the limit for a need.
pub fn limits(needs: &[SubnetNeed], limit: impl Fn(u64) -> u64) -> PartialAddresses {
    let mut config = AddressConfig::none();
    let mut lists = Vec::new();
    for need in needs {
        let (list, subnets) = match need.is_v6 {
            false => (AddressList::SubnetsV4, &mut config.subnets.v4),
            true => (AddressList::SubnetsV6, &mut config.subnets.v6),
        };
        lists.push(list);
        subnets.push(SubnetLimit {
            prefix_len: need.prefix_len,
            conns: limit(need.conns),
        });
    }
    let limits = AddressLimits::new(config).expect("the sizes are valid and differ");
    PartialAddresses::new(limits, lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_count_for_the_address_and_for_its_subnets() {
        let mut subnets = Subnets::default();
        subnets.change("192.0.2.1", 0, 2, 0);
        subnets.change("::ffff:192.0.2.1", 0, 1, 0);
        subnets.change("192.0.2.2", 0, 2, 0);
        subnets.change("2001:db8:0:aa01::1", 0, 3, 0);
        subnets.change("2001:db8:0:aa02::1", 0, 4, 0);
        subnets.change("2001:db8:0:bb01::1", 0, 5, 1);
        subnets.change("127.0.0.1", 0, 100, 0);
        subnets.change("::1", 0, 100, 0);
        subnets.change("12D3KooW", 0, 100, 0);
        let needs = |subnets: &Subnets| {
            let needs = subnets.needs().into_iter();
            needs
                .map(|need| (need.is_v6, need.prefix_len, need.conns))
                .collect::<Vec<_>>()
        };
        let expected = [(false, 32, 3), (true, 56, 7), (true, 48, 13)];
        assert_eq!(needs(&subnets), expected);
        // Closed connections have made room.
        subnets.change("2001:db8:0:aa01::1", 3, 0, 0);
        subnets.change("2001:db8:0:aa03::1", 0, 3, 0);
        assert_eq!(needs(&subnets), expected);
        subnets.clear();
        assert!(subnets.open.is_empty());
        assert_eq!(needs(&subnets), expected);
    }
}
