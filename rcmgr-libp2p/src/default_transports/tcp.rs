//! TCP.

use libp2p_identity::Keypair;
use libp2p_tcp::tokio::Transport;

use super::authenticated::{SwarmTransport, TransportResult, limited};
use crate::resources::Resources;

/// TCP with noise and yamux under the limits of `resources`, as `with_tcp` of a `SwarmBuilder` builds
/// it with the default settings of all three.
///
/// For other settings call [`limited`](crate::LimitExt::limited) on a transport of your own.
///
/// ```
/// # use rcmgr_atomic::{Limits, Manager};
/// # use rcmgr_libp2p::Resources;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _in_runtime = runtime.enter();
/// let resources = Resources::new(Manager::new(Limits::unlimited())?);
/// let swarm = libp2p::SwarmBuilder::with_new_identity()
///     .with_tokio()
///     .with_other_transport(|key| rcmgr_libp2p::tcp(key, &resources))?
///     .with_other_transport(|key| rcmgr_libp2p::quic(key, &resources))?
///     .with_dns()?
///     .with_behaviour(|_| libp2p::ping::Behaviour::default())?
///     .build();
/// # drop(swarm);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The key cannot sign.
pub fn tcp(key: &Keypair, resources: &Resources) -> TransportResult<impl SwarmTransport + use<>> {
    let tcp = Transport::new(libp2p_tcp::Config::default());
    limited(tcp, key, resources)
}
