//! The services of the behaviours that come with libp2p, by protocol.

use std::collections::HashMap;
use std::sync::Arc;

/// The names are those of go-libp2p where it has the service.
const BUNDLED: &[(&str, &[&str])] = &[
    (
        "libp2p.autonat",
        &[
            "/libp2p/autonat/1.0.0",
            "/libp2p/autonat/2/dial-request",
            "/libp2p/autonat/2/dial-back",
        ],
    ),
    ("libp2p.DHT", &["/ipfs/kad/1.0.0"]),
    ("libp2p.holepunch", &["/libp2p/dcutr"]),
    (
        "libp2p.identify",
        &["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"],
    ),
    ("libp2p.perf", &["/perf/1.0.0"]),
    ("libp2p.ping", &["/ipfs/ping/1.0.0"]),
    (
        "libp2p.pubsub",
        &[
            "/floodsub/1.0.0",
            "/meshsub/1.0.0",
            "/meshsub/1.1.0",
            "/meshsub/1.2.0",
        ],
    ),
    (
        "libp2p.relay/v2",
        &[
            "/libp2p/circuit/relay/0.2.0/hop",
            "/libp2p/circuit/relay/0.2.0/stop",
        ],
    ),
    ("libp2p.rendezvous", &["/rendezvous/1.0.0"]),
];

/// The service of each protocol.
pub(crate) fn bundled() -> HashMap<Arc<str>, Arc<str>> {
    let mut services = HashMap::new();
    for &(name, protocols) in BUNDLED {
        let name = Arc::<str>::from(name);
        for &protocol in protocols {
            services.insert(protocol.into(), name.clone());
        }
    }
    services
}
