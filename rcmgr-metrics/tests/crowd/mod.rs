//! Names that a remote chooses to confuse whatever shows them.

use rcmgr_atomic::{
    Direction, Limits, Manager, PeerId, Priority, ResourceManager, ResourceScope, Stream,
    StreamScope,
};

/// Markup and scripts, quotes and line ends of every format that names are written to, and characters
/// that reverse the text beside them.
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

/// One of the names, made unique by the number at its end.
pub fn protocol(number: usize) -> String {
    format!("/{}/{number}", NASTY[number % NASTY.len()])
}

/// The same for a peer. Its id must be short.
pub fn peer(number: usize) -> PeerId {
    let id = format!("{}{number}", NASTY[number % NASTY.len()]);
    PeerId::from_bytes(id.as_bytes()).expect("it is short enough")
}

/// This many peers and protocols, which live as long as the streams. Each peer has one stream with a
/// protocol of its own. The last one uses most.
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
