//! Closes a server without cutting off its clients: nothing new is accepted, open connections proceed,
//! and the server waits for them, but not for ever.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rcmgr::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::new(Limits::unlimited())?;
    let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;

    // From now on everything new is refused, and no retry will help.
    manager.close();
    let refused = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    assert!(!refused.unwrap_err().is_temporary());

    // The open connection proceeds. It can still reserve memory.
    let (finish, finished) = mpsc::channel();
    let client = thread::spawn(move || -> Result<(), Error> {
        let buffer = connection.reserve(4 * KIB, Priority::Medium)?;
        let _ = finished.recv();
        drop(buffer);
        Ok(())
    });

    // A deadline that is too short: the error is the usage that is left.
    let left = manager
        .wait_until_released(Duration::from_millis(10))
        .unwrap_err();
    println!("still open: {}", left.system);
    assert_eq!(left.system.conns_inbound, 1);

    finish.send(())?;
    let deadline = Duration::from_secs(60);
    assert!(
        manager.wait_until_released(deadline).is_ok(),
        "the client finished"
    );
    println!("everything is released");
    client.join().expect("the client does not panic")?;
    Ok(())
}
