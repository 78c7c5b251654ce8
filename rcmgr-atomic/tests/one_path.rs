//! Connections of one peer, and streams with one protocol and service, from many threads: their uses of the
//! path are counted in shards, and the path is still collected with the last of them.

use std::sync::mpsc;
use std::thread;

use rcmgr_atomic::{Connection, Direction, Endpoint, Limits, Manager, PeerId, Stream, UsesFd};

const THREADS: usize = 4;

/// For each thread.
const TIMES: usize = if cfg!(debug_assertions) {
    5_000
} else {
    50_000
};

fn peer() -> PeerId {
    "a".parse().expect("a peer id")
}

fn connection(manager: &Manager) -> Connection {
    let opened = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    let connection = opened.expect("there is room");
    connection.set_peer(&peer()).expect("it has no peer yet");
    connection
}

/// A stream through the connection, with a protocol and a service.
fn stream(connection: &Connection) -> Stream {
    let stream = connection
        .open_stream(Direction::Inbound)
        .expect("there is room");
    stream.set_protocol("/p/1").expect("it has none yet");
    stream.set_service("s").expect("it has none yet");
    stream
}

fn nothing_is_left(manager: &Manager) {
    assert!(manager.stat().system.is_zero(), "{:?}", manager.stat());
    assert!(manager.peers().is_empty());
    assert!(manager.protocols().is_empty());
}

#[test]
fn threads_that_open_and_close_streams_of_one_path_leave_no_scope_behind() {
    let manager = Manager::new(Limits::unlimited()).expect("valid limits");
    // With a stream that stays, the shards stay open; without one, they are drained again and again.
    for keeps_one in [true, false] {
        let connection = connection(&manager);
        let kept = keeps_one.then(|| stream(&connection));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for number in 0..TIMES {
                        let stream = stream(&connection);
                        if number % 3 == 0 {
                            stream.done();
                            assert!(stream.begin_span().is_err(), "it is closed");
                        }
                    }
                });
            }
        });
        drop((kept, connection));
        nothing_is_left(&manager);
    }
}

#[test]
fn threads_that_open_and_close_connections_of_one_peer_leave_no_scope_behind() {
    let manager = Manager::new(Limits::unlimited()).expect("valid limits");
    // As with streams. In the last two cases some connections move on to a path with a service.
    for (keeps_one, has_service) in [(true, false), (false, false), (true, true), (false, true)] {
        let kept = keeps_one.then(|| connection(&manager));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for number in 0..TIMES {
                        let connection = connection(&manager);
                        if has_service && number % 3 == 0 {
                            connection.set_service("s").expect("it has none yet");
                        }
                        if number % 4 == 0 {
                            connection.done();
                            assert!(connection.begin_span().is_err(), "it is closed");
                        }
                    }
                });
            }
        });
        drop(kept);
        nothing_is_left(&manager);
    }
}

#[test]
fn streams_that_end_on_other_threads_than_they_began_leave_no_scope_behind() {
    let manager = Manager::new(Limits::unlimited()).expect("valid limits");
    let connection = connection(&manager);
    thread::scope(|scope| {
        for _ in 0..THREADS / 2 {
            let (sender, receiver) = mpsc::sync_channel(16);
            scope.spawn(move || receiver.into_iter().for_each(drop::<Stream>));
            let connection = &connection;
            scope.spawn(move || {
                for _ in 0..TIMES {
                    sender.send(stream(connection)).expect("it is received");
                }
            });
        }
    });
    drop(connection);
    nothing_is_left(&manager);
}

#[test]
fn the_last_stream_of_a_path_is_the_last_of_its_scopes_whichever_thread_closes_it() {
    let manager = Manager::new(Limits::unlimited()).expect("valid limits");
    for _ in 0..TIMES / 50 {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let stream = manager.open_stream(&peer(), Direction::Inbound);
                        let stream = stream.expect("there is room");
                        stream.set_protocol("/p/1").expect("it has none yet");
                    }
                });
            }
        });
        nothing_is_left(&manager);
    }
}
