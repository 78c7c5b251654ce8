//! WebSocket.

use libp2p_identity::Keypair;

use super::authenticated::{SwarmTransport, TransportResult, limited};
use crate::resources::Resources;

/// WebSocket over TCP with noise and yamux under the limits of `resources`, as `with_websocket` of a
/// `SwarmBuilder` builds it: it resolves names itself, since TLS checks the name of the server.
///
/// So an address such as `/dns4/example.com/tcp/443/wss` must arrive with its name. `with_dns` would
/// take the name away, and any DNS transport takes each address that has a name. Where such addresses
/// are dialed, add this transport first, and resolve names for each of the others:
///
/// ```
/// use libp2p::dns;
/// # use rcmgr_atomic::{Limits, Manager};
/// # use rcmgr_libp2p::Resources;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _in_runtime = runtime.enter();
/// let resources = Resources::new(Manager::new(Limits::unlimited())?);
/// let swarm = libp2p::SwarmBuilder::with_new_identity()
///     .with_tokio()
///     .with_other_transport(|key| rcmgr_libp2p::websocket(key, &resources))?
///     .with_other_transport(|key| {
///         Ok(dns::tokio::Transport::system(rcmgr_libp2p::tcp(key, &resources)?)?)
///     })?
///     .with_behaviour(|_| libp2p::ping::Behaviour::default())?
///     .build();
/// # drop(swarm);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A dialed name has no IP address here, so limits by address do not apply to it, and it is charged as
/// one connection, however many addresses are tried.
///
/// # Errors
///
/// The key cannot sign, or the settings of DNS cannot be read from the system.
pub fn websocket(
    key: &Keypair,
    resources: &Resources,
) -> TransportResult<impl SwarmTransport + use<>> {
    let tcp = libp2p_tcp::tokio::Transport::new(libp2p_tcp::Config::default());
    let named = libp2p_dns::tokio::Transport::system(tcp)?;
    limited(libp2p_websocket::Config::new(named), key, resources)
}
