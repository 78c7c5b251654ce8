//! Opens streams and connections as the workloads use them.

use rcmgr_core::{
    ConnectionScope, Direction, Endpoint, PeerId, ResourceManager, Result, StreamScope, UsesFd,
};

use crate::setting::{PROTOCOL, SERVICE};

/// A stream with protocol and service, opened by the peer's id.
///
/// # Errors
///
/// The errors of the manager.
pub fn stream<M: ResourceManager>(manager: &M, peer: &PeerId) -> Result<M::Stream> {
    attached(manager.open_stream(peer, Direction::Inbound)?)
}

/// A stream with protocol and service, opened through a connection to the peer.
///
/// # Errors
///
/// The errors of the manager.
#[inline]
pub fn stream_through<C: ConnectionScope>(connection: &C) -> Result<C::Stream> {
    attached(connection.open_stream(Direction::Inbound)?)
}

#[inline]
fn attached<S: StreamScope>(stream: S) -> Result<S> {
    stream.set_protocol(PROTOCOL)?;
    stream.set_service(SERVICE)?;
    Ok(stream)
}

/// A connection that has its peer set.
///
/// # Errors
///
/// The errors of the manager.
pub fn connection<M: ResourceManager>(
    manager: &M,
    from: Endpoint,
    peer: &PeerId,
) -> Result<M::Connection> {
    let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, from)?;
    connection.set_peer(peer)?;
    Ok(connection)
}
