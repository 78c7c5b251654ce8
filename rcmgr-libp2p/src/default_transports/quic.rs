//! QUIC.

use libp2p_identity::Keypair;
use libp2p_quic::tokio::Transport;

use crate::resources::Resources;
use crate::transport::{LimitExt, Limited};

/// QUIC under the limits of `resources`, as `with_quic` of a `SwarmBuilder` builds it.
///
/// ```
/// # use rcmgr_atomic::{Limits, Manager};
/// # use rcmgr_libp2p::Resources;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _in_runtime = runtime.enter();
/// let resources = Resources::new(Manager::new(Limits::unlimited())?);
/// let swarm = libp2p::SwarmBuilder::with_new_identity()
///     .with_tokio()
///     .with_other_transport(|key| rcmgr_libp2p::quic(key, &resources))?
///     .with_behaviour(|_| libp2p::ping::Behaviour::default())?
///     .build();
/// # drop(swarm);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn quic(key: &Keypair, resources: &Resources) -> Limited<Transport> {
    Transport::new(libp2p_quic::Config::new(key)).limited(resources)
}
