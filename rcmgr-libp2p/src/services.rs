//! The services of the behaviours that come with libp2p, by protocol.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

// The names of go-libp2p, and of its DHT.
pub(crate) const AUTONAT: &str = "libp2p.autonat";
const AUTONAT_V2: &str = "libp2p.autonatv2";
const DHT: &str = "libp2p.DHT";
pub(crate) const HOLEPUNCH: &str = "libp2p.holepunch";
pub(crate) const IDENTIFY: &str = "libp2p.identify";
pub(crate) const PING: &str = "libp2p.ping";
pub(crate) const RELAY: &str = "libp2p.relay/v2";
// The same way for those that have no service there.
const PUBSUB: &str = "libp2p.pubsub";
const RENDEZVOUS: &str = "libp2p.rendezvous";

pub(crate) const AUTONAT_PROTOCOL: &str = "/libp2p/autonat/1.0.0";
pub(crate) const HOLEPUNCH_PROTOCOL: &str = "/libp2p/dcutr";
pub(crate) const IDENTIFY_PROTOCOLS: [&str; 2] = ["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"];
pub(crate) const PING_PROTOCOL: &str = "/ipfs/ping/1.0.0";
pub(crate) const RELAY_PROTOCOLS: [&str; 2] = [
    "/libp2p/circuit/relay/0.2.0/hop",
    "/libp2p/circuit/relay/0.2.0/stop",
];

const BUNDLED: &[(&str, &[&str])] = &[
    (AUTONAT, &[AUTONAT_PROTOCOL]),
    (
        AUTONAT_V2,
        &[
            "/libp2p/autonat/2/dial-request",
            "/libp2p/autonat/2/dial-back",
        ],
    ),
    (DHT, &["/ipfs/kad/1.0.0"]),
    (HOLEPUNCH, &[HOLEPUNCH_PROTOCOL]),
    (IDENTIFY, &IDENTIFY_PROTOCOLS),
    (PING, &[PING_PROTOCOL]),
    (
        PUBSUB,
        &[
            "/floodsub/1.0.0",
            "/meshsub/1.0.0",
            "/meshsub/1.1.0",
            "/meshsub/1.2.0",
            "/meshsub/1.3.0",
        ],
    ),
    (RELAY, &RELAY_PROTOCOLS),
    (RENDEZVOUS, &["/rendezvous/1.0.0"]),
];

/// The service of each protocol. It is looked up for each stream, hence the fast hasher.
pub(crate) type Services = HashMap<Arc<str>, Arc<str>, RandomState>;

pub(crate) fn bundled() -> Services {
    let mut services = Services::default();
    for &(name, protocols) in BUNDLED {
        let name = Arc::<str>::from(name);
        for &protocol in protocols {
            services.insert(protocol.into(), name.clone());
        }
    }
    services
}
