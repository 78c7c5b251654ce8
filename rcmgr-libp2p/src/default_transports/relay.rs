//! The client of relays.

use libp2p_identity::Keypair;
use libp2p_relay::client;

use super::authenticated::{SwarmTransport, TransportResult, limited};
use crate::resources::Resources;

/// The client of relays under the limits of `resources`: the transport for connections over a relay,
/// with noise and yamux, and the behaviour that it needs in the swarm. `with_relay_client` of a
/// `SwarmBuilder` builds the same.
///
/// A relayed connection is charged as a connection without a descriptor, besides the connection to the
/// relay and the stream on it.
///
/// ```
/// use libp2p::identity::Keypair;
/// # use rcmgr_atomic::{Limits, Manager};
/// # use rcmgr_libp2p::Resources;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _in_runtime = runtime.enter();
/// let resources = Resources::new(Manager::new(Limits::unlimited())?);
/// let key = Keypair::generate_ed25519();
/// let (relayed, relay_client) = rcmgr_libp2p::relay_client(&key, &resources)?;
/// let swarm = libp2p::SwarmBuilder::with_existing_identity(key)
///     .with_tokio()
///     .with_other_transport(|key| rcmgr_libp2p::tcp(key, &resources))?
///     .with_other_transport(|_| relayed)?
///     .with_dns()?
///     .with_behaviour(|_| relay_client)?
///     .build();
/// # drop(swarm);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
///
/// # Errors
///
/// The key cannot sign.
pub fn relay_client(
    key: &Keypair,
    resources: &Resources,
) -> TransportResult<(impl SwarmTransport + use<>, client::Behaviour)> {
    let (transport, behaviour) = client::new(key.public().to_peer_id());
    Ok((limited(transport, key, resources)?, behaviour))
}
