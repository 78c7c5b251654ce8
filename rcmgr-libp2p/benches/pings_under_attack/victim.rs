//! The process that is attacked: a swarm under the limits that the book recommends.

use libp2p::futures::StreamExt;
use libp2p::ping;
use libp2p::swarm::NetworkBehaviour;
use rcmgr_atomic::{Limits, Manager};
use rcmgr_config::ScalingLimits;
use rcmgr_core::address::{AddressConfig, AddressLimits};
use rcmgr_core::{GIB, ScopeClass};
use rcmgr_libp2p::Resources;

use super::Result;
use super::honest::{ECHO, What, echo_all};
use super::process::{self, Role};
use super::support::{Kind, listen, streams, swarm};

/// The inbound streams of a peer.
const STREAMS_OF_A_PEER: u64 = 32;

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: rcmgr_libp2p::Behaviour,
    ping: ping::Behaviour,
    streams: streams::Behaviour,
}

/// A node with 1 GiB of memory. The streams of four peers do not fill the transient scope.
fn limits() -> Result<Limits> {
    let mut scaling = ScalingLimits::default();
    rcmgr_libp2p::bundled_limits(&mut scaling);
    let mut limits = scaling.scale(GIB, 1024);
    limits.peer_default.streams_inbound = STREAMS_OF_A_PEER.into();
    limits.addresses = AddressLimits::new(AddressConfig {
        trust_loopback: false,
        ..AddressConfig::reference_defaults()
    })?;
    Ok(limits)
}

pub fn run(arguments: &[&str]) -> Result<()> {
    let [kind, what] = process::take_place(Role::Victim, arguments)? else {
        return Err("a victim needs a transport and a kind of round trips".into());
    };
    let (kind, what) = (Kind::named(kind), What::named(what));
    let manager = Manager::new(limits()?)?;
    let resources = Resources::new(manager.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (streams, accepted, _) = streams::behaviour(&[ECHO]);
        let behaviour = Behaviour {
            limits: resources.behaviour(),
            ping: ping::Behaviour::new(what.victims_pings()),
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
