//! Names of peers and large numbers in limits files: read alike in every spelling, and shown safely.

use rcmgr_config::PartialLimits;
use rcmgr_core::{LimitValue, PeerId};

fn json_error(text: &str) -> String {
    PartialLimits::from_json(text).unwrap_err().to_string()
}

fn hex(peer: &PeerId) -> String {
    let bytes = peer.as_bytes().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_peers_key_that_can_name_nobody_is_an_error_with_its_line() {
    let cases = [
        (
            "192.0.2.7:4001",
            "a port is not part of a peer's name; write \"192.0.2.7\"",
        ),
        (
            "2001:db8::/32",
            "a prefix length makes it a network, which Addresses.Networks can limit; write \
             \"2001:db8::\"",
        ),
        (
            " 2001:DB8::7",
            "spaces or invisible characters stand around it; write \"2001:DB8::7\"",
        ),
        (
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU",
            "it looks like a libp2p peer id that is cut off or mistyped; check its spelling",
        ),
    ];
    for (key, reason) in cases {
        let expected = format!("line 2: Peer.{key}: {reason}");
        let json = format!("{{\"Peer\":\n{{\"{key}\": {{\"Conns\": 1}}}}}}");
        assert_eq!(json_error(&json), expected);
        let toml = format!("\n[Peer.'{key}']\nConns = 1");
        assert_eq!(
            PartialLimits::from_toml(&toml).unwrap_err().to_string(),
            expected
        );
    }
}

#[test]
fn each_spelling_of_a_peer_sets_the_limits_of_that_peer() {
    let spellings = [
        ("2001:DB8::7", "2001:db8::7"),
        ("2001:db8:0:0:0:0:0:7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("64:ff9b::c000:207", "192.0.2.7"),
        (
            "k2k4r8o76no7r2xpb1vro271us3sufu5680vaz2ru7ihkw6ju7khwy8o",
            "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y",
        ),
        ("165", "165"),
    ];
    for (key, peer) in spellings {
        let json = format!(r#"{{"Peer": {{"{key}": {{"Conns": "blockAll"}}}}}}"#);
        let limits = PartialLimits::from_json(&json).unwrap();
        let peer = PeerId::from_bytes(peer.as_bytes()).unwrap();
        assert_eq!(
            limits.peer[&peer].conns,
            Some(LimitValue::BLOCK_ALL),
            "{key}"
        );
        // Two spellings of one peer are two entries for it.
        let twice = format!(r#"{{"Peer": {{"{key}": {{}}, "0x{}": {{}}}}}}"#, hex(&peer));
        assert!(json_error(&twice).contains("the same as Peer."), "{twice}");
    }
}

#[test]
fn keys_and_values_are_escaped_where_an_error_shows_them() {
    let attack = r"a\u001b[2J\n\u202e";
    let shown = r"a\u{1b}[2J\n\u{202e}";
    let cases = [
        (
            format!(r#"{{"{attack}": 1}}"#),
            format!("line 1: {shown}: unknown key"),
        ),
        (
            format!(r#"{{"Service": {{"{attack}": {{"FD": -1}}}}}}"#),
            format!("line 1: Service.{shown}.FD: -1 is negative"),
        ),
        (
            format!(r#"{{"Conn": {{"FD": "{attack}"}}}}"#),
            format!("line 1: Conn.FD: found \"{shown}\"; expected"),
        ),
        (
            format!(r#"{{"Peer": {{" {attack}": {{}}}}}}"#),
            format!("line 1: Peer. {shown}: spaces or invisible characters stand around it"),
        ),
    ];
    for (text, expected) in cases {
        let error = json_error(&text);
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
}

#[test]
fn a_number_that_a_signed_reader_cannot_read_is_no_limit() {
    // However the number is written, and in whichever format.
    for number in ["9223372036854775808", "18446744073709551615"] {
        let texts = [
            format!(r#"{{"Conn": {{"FD": {number}, "Memory": {number}}}}}"#),
            format!(r#"{{"Conn": {{"FD": "{number}", "Memory": "{number}"}}}}"#),
        ];
        let mut all = texts
            .map(|text| PartialLimits::from_json(&text).unwrap())
            .to_vec();
        let toml = format!("[Conn]\nFD = '{number}'\nMemory = '{number} B'");
        all.push(PartialLimits::from_toml(&toml).unwrap());
        for limits in all {
            assert_eq!(limits.conn.fd, Some(LimitValue::Unlimited));
            assert_eq!(limits.conn.memory, Some(LimitValue::Unlimited));
        }
    }
    let sized = PartialLimits::from_toml("[Conn]\nMemory = '8 EiB'").unwrap();
    assert_eq!(sized.conn.memory, Some(LimitValue::Unlimited));
    // A program may have such a number, too.
    let mut limits = PartialLimits::default();
    limits.conn.fd = Some(LimitValue::Limited(1 << 63));
    limits.conn.memory = Some(LimitValue::Limited(u64::MAX));
    limits.conn.streams = Some(LimitValue::Limited((1 << 63) - 1));
    let json: String = limits.to_json().split_whitespace().collect();
    assert_eq!(
        json,
        r#"{"Conn":{"Streams":9223372036854775807,"FD":"unlimited","Memory":"unlimited"}}"#,
    );
    assert_eq!(
        limits.to_toml(),
        "[Conn]\nStreams = 9223372036854775807\nFD = \"unlimited\"\nMemory = \"unlimited\"\n",
    );
}
