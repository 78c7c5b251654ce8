//! The process that is attacked: a swarm under the limits that the book recommends. Only the limits of
//! addresses depend on the [`Origin`] of the remotes.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use libp2p::futures::StreamExt;
use libp2p::ping;
use libp2p::swarm::NetworkBehaviour;
use rcmgr_atomic::{Limits, Manager};
use rcmgr_config::ScalingLimits;
use rcmgr_core::address::{AddressConfig, AddressLimits, Rate, RateLimits};
use rcmgr_core::{GIB, ScopeClass};
use rcmgr_libp2p::Resources;

use super::Result;
use super::answering;
use super::honest::{ECHO, echo_all};
use super::process::{self, Role};
use super::support::{Kind, listen, streams, swarm};

/// The inbound streams of a peer.
const STREAMS_OF_A_PEER: u64 = 32;

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: rcmgr_libp2p::Behaviour,
    ping: answering::Behaviour,
    streams: streams::Behaviour,
}

/// Where the remotes come from.
///
/// All have the same loopback address. The defaults of go-libp2p limit no loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The limit of a subnet holds for them. Their rate has no limit: a remote whose connection has
    /// ended comes back and goes on.
    OneSubnet,
    /// No limit of addresses holds for them.
    ManySubnets,
    /// Only the global rate holds for them: so many connections in a second.
    ManySubnetsAtRate(u32),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneSubnet => f.write_str("one"),
            Self::ManySubnets => f.write_str("many"),
            Self::ManySubnetsAtRate(rate) => write!(f, "{rate}"),
        }
    }
}

impl FromStr for Origin {
    type Err = ParseIntError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseIntError> {
        Ok(match text {
            "one" => Self::OneSubnet,
            "many" => Self::ManySubnets,
            rate => Self::ManySubnetsAtRate(rate.parse()?),
        })
    }
}

/// A node with 1 GiB of memory. The streams of four peers do not fill the transient scope.
fn limits(origin: Origin) -> Result<Limits> {
    let mut scaling = ScalingLimits::default();
    rcmgr_libp2p::bundled_limits(&mut scaling);
    let mut limits = scaling.scale(GIB, 1024);
    limits.peer_default.streams_inbound = STREAMS_OF_A_PEER.into();
    let mut addresses = AddressConfig::reference_defaults();
    match origin {
        Origin::OneSubnet => addresses.subnets.v4_networks.clear(),
        Origin::ManySubnets => {}
        Origin::ManySubnetsAtRate(rate) => {
            addresses.rates = RateLimits {
                global: Some(Rate {
                    per_second: rate.into(),
                    burst: rate,
                }),
                ..RateLimits::none()
            };
        }
    }
    limits.addresses = AddressLimits::new(addresses)?;
    Ok(limits)
}

pub fn run(arguments: &[&str]) -> Result<()> {
    let [kind, origin] = process::take_place(Role::Victim, arguments)? else {
        return Err("a victim needs a transport and an origin".into());
    };
    let kind = Kind::named(kind);
    let manager = Manager::new(limits(origin.parse()?)?)?;
    let resources = Resources::new(manager.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (streams, accepted, _) = streams::behaviour(&[ECHO]);
        let behaviour = Behaviour {
            limits: resources.behaviour(),
            ping: answering::Behaviour::new(ping::Config::new()),
            streams,
        };
        let mut swarm = swarm(&resources, behaviour);
        println!("{}", listen(&mut swarm, kind).await);
        process::answer_with(move || {
            let classes = [
                ScopeClass::System,
                ScopeClass::Transient,
                ScopeClass::Peer,
                ScopeClass::Protocol,
                ScopeClass::Service,
            ];
            let by_scope: u64 = (classes.iter())
                .map(|&class| manager.refusals(class).total())
                .sum();
            let addresses = manager.addresses().stat();
            by_scope + addresses.refused_by_rate + addresses.refused_by_subnet
        });
        tokio::spawn(echo_all(accepted));
        loop {
            swarm.select_next_some().await;
        }
    })
}
