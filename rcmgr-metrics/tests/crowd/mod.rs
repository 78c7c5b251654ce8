//! Hostile names: everything that may have a meaning to a program that shows them.

use rcmgr_atomic::{Direction, Limits, Manager, PeerId, Priority, Stream};

/// Markup and scripts, quotes and line breaks of every output format, and characters that change
/// the text direction.
pub const NASTY: [&str; 8] = [
    "<img src=x onerror=\"alert(1)\">",
    "</script><script>alert(1)</script>",
    "'\"><svg/onload=alert(1)>",
    "\"} 1\nrcmgr_evil{x=\"",
    "\"},{\"name\":[",
    "\\\"\\n\\",
    "# EOF\r\n\0",
    "\u{202e}\u{2028}&lt;b&gt;",
];

/// A unique hostile name: it ends with the number.
pub fn protocol(number: usize) -> String {
    format!("/{}/{number}", NASTY[number % NASTY.len()])
}

/// As [`protocol`], but a peer id has at most 47 bytes.
pub fn peer(number: usize) -> PeerId {
    let id = format!("{}{number}", NASTY[number % NASTY.len()]);
    PeerId::from_bytes(id.as_bytes()).expect("it is short enough")
}

/// A manager with `count` peers and protocols, which live as long as the streams. Each peer has a
/// stream with its own protocol, and the last peer uses most.
pub fn crowd(size: usize) -> (Manager, Vec<Stream>) {
    let mut limits = Limits::unlimited();
    limits.peer_default.memory = (2 * size as u64).into();
    let manager = Manager::new(limits).expect("limits alone work");
    let open = |number| {
        let opened = manager.open_stream(&peer(number), Direction::Inbound);
        let stream = opened.expect("it is not limited");
        stream.set_protocol(&protocol(number)).expect("nor is this");
        let reserved = stream.reserve_memory(number as u64, Priority::Always);
        reserved.expect("there is room for this");
        stream
    };
    let streams = (0..size).map(open).collect();
    (manager, streams)
}
