//! A span holds the memory of one task, and releases all of it together.

use rcmgr::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut limits = Limits::unlimited();
    limits.conn.memory = (64 * KIB).into();
    let manager = Manager::new(limits)?;
    let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;

    // The request is a span of the connection: its reservations are charged to the connection, too.
    let request = connection.begin_span()?;
    request.reserve_memory(16 * KIB, Priority::Medium)?;
    request.reserve_memory(8 * KIB, Priority::Medium)?;
    assert_eq!(request.stat().memory, 24 * KIB);
    assert_eq!(connection.stat().memory, 24 * KIB);

    // The limit of the connection holds for its spans.
    let refused = request
        .reserve_memory(64 * KIB, Priority::Always)
        .unwrap_err();
    println!("{refused}");
    assert!(refused.is_temporary());

    // The end of the span releases everything it holds, however many reservations there were.
    request.done();
    assert_eq!(connection.stat().memory, 0);
    println!("{}", manager.stat().system);
    Ok(())
}
