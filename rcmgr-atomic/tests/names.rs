//! Names end to end: a limits file names a peer, a remote chooses names, an operator reads them.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use rcmgr_atomic::{
    Direction, Endpoint, Limit, LimitValue, Limits, Manager, PeerId, Priority, UsesFd,
};
use rcmgr_config::PartialLimits;
use rcmgr_testkit::passed_in_own_process;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Whether a manager with this limits file refuses a connection of the peer.
fn is_blocked(file: &str, peer: &PeerId) -> bool {
    let limits = PartialLimits::from_json(file).unwrap();
    let manager = Manager::new(limits.build(&Limits::unlimited())).unwrap();
    let conn = manager
        .open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)
        .unwrap();
    conn.set_peer(peer).is_err()
}

fn blocking(key: &str) -> String {
    format!(r#"{{"Peer": {{"{key}": {{"Conns": "blockAll"}}}}}}"#)
}

#[test]
fn an_entry_blocks_its_peer_however_file_and_program_spell_the_name() {
    let of_ip = |text: &str| PeerId::from(text.parse::<IpAddr>().unwrap());
    let of_socket = |text: &str| PeerId::from(text.parse::<SocketAddr>().unwrap());
    let of_bytes = |text: &str| PeerId::from_bytes(text.as_bytes()).unwrap();
    let parsed = |text: &str| text.parse::<PeerId>().unwrap();
    let cases = [
        (
            &["2001:DB8::7", "2001:db8:0:0:0:0:0:7", "[2001:db8::7]"][..],
            vec![
                of_ip("2001:db8::7"),
                of_bytes("2001:db8:0::7"),
                parsed("[2001:DB8::7]"),
                of_socket("[2001:db8::7]:4001"),
            ],
        ),
        (
            &["192.0.2.7", "::ffff:192.0.2.7", "64:ff9b::c000:207"],
            vec![
                of_ip("192.0.2.7"),
                of_ip("::ffff:192.0.2.7"),
                of_ip("2002:c000:207::1"),
                of_bytes("::192.0.2.7"),
            ],
        ),
        (
            &["fe80::7%2", "FE80:0::7%02"],
            vec![of_socket("[fe80::7%2]:4001"), parsed("[fe80::7%2]")],
        ),
        (&["165", "0x313635"], vec![parsed("165"), of_bytes("165")]),
    ];
    for (keys, peers) in cases {
        for key in keys {
            for peer in &peers {
                assert!(is_blocked(&blocking(key), peer), "{key} {peer}");
            }
        }
    }
    let zoned = of_socket("[fe80::7%3]:4001");
    assert!(!is_blocked(&blocking("fe80::7%2"), &zoned));
    assert!(!is_blocked(&blocking("2001:db8::7"), &of_ip("2001:db8::8")));
}

#[test]
fn a_number_that_means_unlimited_reads_back_as_unlimited() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let system = manager.view_system();
    for number in [1 << 63, u64::MAX - 1, u64::MAX] {
        system.set_limit(Limit::all(LimitValue::Limited(number)));
        assert_eq!(system.limit(), Limit::UNLIMITED);
        assert_eq!(system.remaining(), Limit::UNLIMITED);
    }
    let largest = Limit::all(LimitValue::Limited(LimitValue::LARGEST));
    system.set_limit(largest);
    assert_eq!(system.limit(), largest);
}

/// A name that clears the screen, starts a line and turns the text around, and is very long.
fn hostile() -> String {
    "/a\u{1b}[2J\n\u{202e}".to_owned() + &"x".repeat(1 << 20)
}

/// What a terminal gets is short, one line, and visible.
fn assert_safe(text: &str) {
    assert!(text.contains(r"/a\u{1b}[2J\n\u{202e}xxx"), "{text:.1000}");
    assert!(!text.contains(char::is_control), "{text:.1000}");
    assert!(text.chars().count() < 500, "{}", text.len());
}

#[test]
fn a_name_from_the_network_is_safe_in_every_error() {
    let mut limits = Limits::unlimited();
    limits.protocol_peer_default.streams = 0.into();
    limits.protocol_default.memory = 0.into();
    let manager = Manager::new(limits).unwrap();
    let peer: PeerId = "p".parse().unwrap();
    let stream = manager.open_stream(&peer, Direction::Inbound).unwrap();
    // A limit of the peer's share, and one of the protocol itself.
    let of_share = stream.set_protocol(&hostile()).unwrap_err();
    let protocol = manager.view_protocol(&hostile());
    let of_protocol = protocol.reserve_memory(1, Priority::Always).unwrap_err();
    let span = protocol.begin_span().unwrap();
    span.done();
    let closed = span.reserve_memory(1, Priority::Always).unwrap_err();
    for error in [of_share, of_protocol, closed] {
        assert_safe(&error.to_string());
        assert_safe(&format!("{error:?}"));
        assert_safe(&std::io::Error::from(error).to_string());
    }
    assert_safe(&span.name().to_string());
}

/// Keeps the text of all fields.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<String>>);

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Fields(String);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                write!(self.0, "{field}={value:?} ").unwrap();
            }
        }
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push_str(&fields.0);
    }
}

#[test]
fn a_name_from_the_network_is_safe_in_the_log_of_over_releases() {
    if passed_in_own_process("a_name_from_the_network_is_safe_in_the_log_of_over_releases") {
        return;
    }
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), || {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        manager.view_protocol(&hostile()).release_memory(7);
    });
    let heard = listener.0.lock().unwrap();
    assert!(heard.contains("released more memory"), "{heard:.1000}");
    assert_safe(&heard);
}
