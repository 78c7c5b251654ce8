//! Streams on a connection: each is charged to its peer, its protocol and its service.

use rcmgr::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut limits = Limits::unlimited();
    limits.protocol_peer_default.streams_inbound = 2.into();
    let manager = Manager::new(limits)?;

    let peer: PeerId = "tenant-7".parse()?;
    let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
    connection.set_peer(&peer)?;

    // A stream knows its peer from the start. It learns its protocol first, then its service.
    let open = || -> Result<Stream, Error> {
        let stream = connection.open_stream(Direction::Inbound)?;
        stream.set_protocol("/ipfs/kad/1.0.0")?;
        stream.set_service("dht")?;
        Ok(stream)
    };
    let first = open()?;
    let second = open()?;
    let buffer = first.reserve(4 * KIB, Priority::Medium)?;

    let stat = manager.stat();
    assert_eq!(stat.peers[&peer].streams_inbound, 2);
    assert_eq!(stat.protocols["/ipfs/kad/1.0.0"].memory, 4 * KIB);
    assert_eq!(stat.services["dht"].memory, 4 * KIB);
    println!("{}", stat.system);

    // A peer may have two streams of one protocol. The refused stream leaves nothing behind.
    let refused = open().unwrap_err();
    println!("{refused}");
    assert!(refused.is_temporary());
    assert_eq!(manager.stat().system.streams_inbound, 2);

    // Dropped handles release everything that they hold.
    drop(buffer);
    drop((first, second, connection));
    assert!(manager.stat().system.is_zero());
    Ok(())
}
