use std::collections::BTreeMap;
use std::net::IpAddr;

use rcmgr_atomic::ipnet::IpNet;
use rcmgr_atomic::{LimitValue, PeerId, Result, SubnetLimitExceeded};

/// What connections are held against before the scopes are asked.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Who may use the scopes of the allowlist: everyone there, or one peer.
    pub allowlist: Vec<(IpNet, Option<PeerId>)>,
    /// How many connections the networks of the allowlist may have; none is within another.
    pub networks: BTreeMap<IpNet, LimitValue>,
    /// How many connections any other address may have.
    pub each: u64,
    /// How many connections each limited network or address has.
    pub permits: BTreeMap<IpNet, u64>,
}

impl Addresses {
    /// The allowlisted system scope may have so many connections now.
    pub fn set_allowlisted_conns(&mut self, conns: LimitValue) {
        self.networks.values_mut().for_each(|limit| *limit = conns);
    }

    /// The network whose limit decides, and the limit.
    fn limit(&self, ip: IpAddr) -> (IpNet, LimitValue) {
        let prefix = self.networks.iter().find(|(net, _)| net.contains(&ip));
        match prefix {
            Some((network, limit)) => (*network, *limit),
            None => (ip.into(), self.each.into()),
        }
    }

    /// Whether there is a permit to be given back.
    pub fn take_place(&mut self, ip: IpAddr) -> Result<bool> {
        let (network, LimitValue::Limited(limit)) = self.limit(ip) else {
            return Ok(false);
        };
        let used = self.permits.entry(network).or_default();
        if *used >= limit {
            let used = *used;
            return Err(SubnetLimitExceeded {
                ip,
                network,
                used,
                limit,
            }
            .into());
        }
        *used += 1;
        Ok(true)
    }

    pub fn give_place_back(&mut self, ip: IpAddr) {
        let network = self.limit(ip).0;
        *self.permits.get_mut(&network).expect("it has a permit") -= 1;
    }

    pub fn is_allowlisted(&self, ip: IpAddr) -> bool {
        self.allowlist.iter().any(|(net, _)| net.contains(&ip))
    }

    pub fn is_allowlisted_for(&self, peer: &PeerId, ip: IpAddr) -> bool {
        let is_for = |of: &Option<PeerId>| of.as_ref().is_none_or(|of| of == peer);
        let mut entries = self.allowlist.iter();
        entries.any(|(net, of)| net.contains(&ip) && is_for(of))
    }
}
