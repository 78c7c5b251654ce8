//! The instructions of a reservation and of a release, counted by Valgrind: they show a difference
//! of one load, and no clock does.
//!
//! The program runs itself under Valgrind, each operation with two repeat counts. The difference of
//! the two has neither the start nor the end of the process. There is one thread, and no request
//! waits.

use std::env;
use std::hint::black_box;
use std::io;
use std::process::Command;

use rcmgr_atomic::{
    Connection, Direction, Endpoint, GIB, KIB, Limit, Limits, Manager, PeerId, Priority,
    ResourceScope, Stream, UsesFd,
};

/// An operation that is repeated.
struct Case {
    name: &'static str,
    run: fn(&Scopes, u64),
}

const CASES: &[Case] = &[
    Case {
        name: "stream, 4 KiB: reserve, release",
        run: |scopes, times| {
            for _ in 0..times {
                reserve(&scopes.stream);
                scopes.stream.release_memory(black_box(4 * KIB));
            }
        },
    },
    Case {
        name: "stream, 4 KiB, medium: reserve, release",
        run: |scopes, times| {
            for _ in 0..times {
                reserve_medium(&scopes.stream).expect("there is room");
                scopes.stream.release_memory(black_box(4 * KIB));
            }
        },
    },
    Case {
        name: "stream, medium: refused by the leaf's limit",
        run: |scopes, times| {
            hold_above_medium(&scopes.stream);
            for _ in 0..times {
                assert!(reserve_medium(&scopes.stream).is_err());
            }
        },
    },
    Case {
        name: "stream, medium: refused by the peer",
        run: |scopes, times| {
            use_credit(&scopes.stream);
            hold_above_medium(&scopes.connection);
            for _ in 0..times {
                assert!(reserve_medium(&scopes.stream).is_err());
            }
        },
    },
    Case {
        name: "stream, always: refused by the peer",
        run: |scopes, times| {
            use_credit(&scopes.stream);
            let held = scopes
                .connection
                .reserve_memory(black_box(1 << 40), Priority::Always);
            held.expect("there is room");
            for _ in 0..times {
                let refused = scopes
                    .stream
                    .reserve_memory(black_box(4 * KIB), Priority::Always);
                assert!(refused.is_err());
            }
        },
    },
    Case {
        // The peer lends to the granted ones, and recalls the credit for the refused ones.
        name: "both in turn: an always pair, a refused medium",
        run: |scopes, times| {
            hold_above_medium(&scopes.connection);
            for _ in 0..times {
                reserve(&scopes.stream);
                scopes.stream.release_memory(black_box(4 * KIB));
                assert!(reserve_medium(&scopes.stream).is_err());
            }
        },
    },
    Case {
        name: "100 always pairs, then a refused medium",
        run: |scopes, times| {
            hold_above_medium(&scopes.connection);
            for _ in 0..times / 100 {
                for _ in 0..100 {
                    reserve(&scopes.stream);
                    scopes.stream.release_memory(black_box(4 * KIB));
                }
                assert!(reserve_medium(&scopes.stream).is_err());
            }
        },
    },
    Case {
        name: "stream, 4 KiB: reserve",
        run: |scopes, times| {
            for _ in 0..times {
                reserve(&scopes.stream);
            }
        },
    },
    Case {
        name: "stream, 4 KiB: reserve all, then release all",
        run: |scopes, times| {
            for _ in 0..times {
                reserve(&scopes.stream);
            }
            for _ in 0..times {
                scopes.stream.release_memory(black_box(4 * KIB));
            }
        },
    },
    Case {
        name: "span of the stream, 4 KiB: reserve, release",
        run: |scopes, times| {
            let span = scopes.stream.begin_span().expect("there is room");
            for _ in 0..times {
                let reserved = span.reserve_memory(black_box(4 * KIB), Priority::Always);
                reserved.expect("there is room");
                span.release_memory(black_box(4 * KIB));
            }
        },
    },
    Case {
        name: "span of the stream, 4 KiB, medium: reserve, release",
        run: |scopes, times| {
            let span = scopes.stream.begin_span().expect("there is room");
            for _ in 0..times {
                let reserved = span.reserve_memory(black_box(4 * KIB), Priority::Medium);
                reserved.expect("there is room");
                span.release_memory(black_box(4 * KIB));
            }
        },
    },
    Case {
        name: "span of the connection: open, drop",
        run: |scopes, times| {
            for _ in 0..times {
                drop(scopes.connection.begin_span().expect("there is room"));
            }
        },
    },
    Case {
        name: "stream of the peer: open, drop",
        run: |scopes, times| {
            for _ in 0..times {
                let opened = scopes.manager.open_stream(&scopes.peer, Direction::Inbound);
                drop(opened.expect("there is room"));
            }
        },
    },
    Case {
        name: "connection: open, drop",
        run: |scopes, times| {
            for _ in 0..times {
                drop(connection(&scopes.manager));
            }
        },
    },
    Case {
        name: "connection: open, peer, drop",
        run: |scopes, times| {
            for _ in 0..times {
                let connection = connection(&scopes.manager);
                connection.set_peer(&scopes.peer).expect("there is room");
            }
        },
    },
    Case {
        name: "stream of the connection: open, both names, drop",
        run: |scopes, times| {
            for _ in 0..times {
                let opened = scopes.connection.open_stream(Direction::Inbound);
                let stream = opened.expect("there is room");
                let set = stream.set_protocol("/ipfs/kad/1.0.0");
                let set = set.and_then(|()| stream.set_service("dht"));
                set.expect("there is room");
            }
        },
    },
];

struct Scopes {
    manager: Manager,
    peer: PeerId,
    connection: Connection,
    /// It is charged on seven scopes.
    stream: Stream,
}

impl Scopes {
    fn new(credit: bool) -> Self {
        let limit = Limit::all((1 << 40).into());
        let limits = Limits {
            system: limit,
            transient: limit,
            service_default: Some(limit),
            service_peer_default: limit,
            protocol_default: limit,
            protocol_peer_default: limit,
            peer_default: limit,
            conn: limit,
            stream: limit,
            ..Limits::unlimited()
        };
        let mut builder = Manager::builder().limits(limits);
        if !credit {
            builder = builder.prepaid_credit(0, 0);
        }
        let manager = builder.build().expect("the limits are valid");
        let peer = PeerId::from_bytes(b"peer").expect("these bytes are a peer id");
        let connection = connection(&manager);
        connection.set_peer(&peer).expect("there is room");
        let stream = manager.open_stream(&peer, Direction::Inbound);
        let stream = stream.expect("there is room");
        let set = stream.set_protocol("/ipfs/kad/1.0.0");
        let set = set.and_then(|()| stream.set_service("dht"));
        set.expect("there is room");
        Self {
            manager,
            peer,
            connection,
            stream,
        }
    }
}

fn connection(manager: &Manager) -> Connection {
    let opened = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    opened.expect("there is room")
}

fn reserve(stream: &Stream) {
    let reserved = stream.reserve_memory(black_box(4 * KIB), Priority::Always);
    reserved.expect("there is room");
}

fn reserve_medium(stream: &Stream) -> rcmgr_atomic::Result<()> {
    stream.reserve_memory(black_box(4 * KIB), Priority::Medium)
}

/// Until the path of the stream has credit. The first refusal by a node recalls it.
fn use_credit(stream: &Stream) {
    for _ in 0..200 {
        reserve(stream);
        stream.release_memory(black_box(4 * KIB));
    }
}

/// Holds more than the medium priority may use of each limit, and less than the whole.
fn hold_above_medium(scope: &impl ResourceScope) {
    let held = scope.reserve_memory(black_box(625 * GIB), Priority::Always);
    held.expect("there is room");
}

/// The instructions of this program with these arguments.
fn count(arguments: &[String]) -> io::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(arguments)
        .output()?;
    let report = String::from_utf8_lossy(&output.stderr);
    let mut lines = report.lines();
    let collected = lines.find_map(|line| line.split_once("Collected : "));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    // A run that failed has a number, too.
    let number = number.filter(|_| output.status.success());
    number.ok_or_else(|| io::Error::other(format!("Valgrind counted nothing: {report}")))
}

fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [run, case, credit, times] = arguments.as_slice()
        && run == "run"
    {
        let parsed = (case.parse(), credit.parse(), times.parse());
        let (Ok(case), Ok(credit), Ok(times)) = parsed else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let case: &Case = CASES
            .get::<usize>(case)
            .ok_or(io::ErrorKind::InvalidInput)?;
        (case.run)(&Scopes::new(credit), times);
        return Ok(());
    }
    // `cargo test` runs benches too: then only check that they work.
    if !arguments.iter().any(|argument| argument == "--bench") {
        for case in CASES {
            (case.run)(&Scopes::new(true), 100);
        }
        return Ok(());
    }
    println!(
        "{:52} {:>8} {:>14}",
        "instructions", "credit", "without credit"
    );
    for (number, case) in CASES.iter().enumerate() {
        let mut each = [0.0; 2];
        for (each, credit) in each.iter_mut().zip([true, false]) {
            let run = |times: u64| {
                let arguments = [number.to_string(), credit.to_string(), times.to_string()];
                count(&[&["run".to_owned()], &arguments[..]].concat())
            };
            *each = (run(20_000)? - run(10_000)?) / 10_000.0;
        }
        println!("{:52} {:8.1} {:14.1}", case.name, each[0], each[1]);
    }
    Ok(())
}
