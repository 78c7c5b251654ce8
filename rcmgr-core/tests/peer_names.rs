//! Each spelling of a peer's name gives the same id, and the text of an id gives the id again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use proptest::collection::vec;
use proptest::prelude::*;
use rcmgr_core::{LimitsKey, PeerId, PeerIdError, canonical_ip};

const HASHED: &str = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";
const ED25519: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
const SECP256K1: &str = "16Uiu2HAm75jGzDtURQiMYaiEs1LTDPTqFzbLTHF7DfBw4cGvaHQX";

fn peer(text: &str) -> PeerId {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// The peer that a limits file names, or the reason that it names none.
fn key(text: &str) -> Result<PeerId, String> {
    match format!("Peer.{text}").parse() {
        Ok(LimitsKey::Peer(peer)) => Ok(peer),
        Ok(other) => panic!("{text}: {other}"),
        Err(bad) => Err(bad.reason),
    }
}

/// All ways to name a peer by a text give this id, with this text.
fn assert_named(spellings: &[&str], name: &str) {
    let expected = PeerId::from_bytes(name.as_bytes()).unwrap();
    assert_eq!(expected.to_string(), name);
    for &text in spellings.iter().chain([&name]) {
        let hex = hex(text.as_bytes());
        for text in [text, &hex] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
            assert_eq!(PeerId::try_from(text), Ok(expected), "{text}");
            assert_eq!(PeerId::from_bytes(text.as_bytes()), Ok(expected), "{text}");
            assert_eq!(key(text), Ok(expected), "{text}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("0x{}", digits.collect::<String>())
}

#[test]
fn all_spellings_of_an_address_name_one_peer() {
    assert_named(
        &[
            "2001:DB8::7",
            "2001:db8:0:0:0:0:0:7",
            "2001:0db8:0000:0000:0000:0000:0000:0007",
            "2001:db8::0.0.0.7",
            "[2001:db8::7]",
            "[2001:DB8:0::7]",
            "2001:db8::7%eth0",
        ],
        "2001:db8::7",
    );
    assert_named(
        &[
            "::ffff:192.0.2.7",
            "::FFFF:C000:207",
            "[::ffff:192.0.2.7]",
            "0:0:0:0:0:ffff:c000:0207",
            "64:ff9b::192.0.2.7",
            "64:FF9B::c000:207",
            "2002:c000:207::",
            "2002:c000:207:1::1",
            "::192.0.2.7",
            "::c000:207",
        ],
        "192.0.2.7",
    );
    assert_named(&["0:0:0:0:0:0:0:1", "[::1]", "::0.0.0.1"], "::1");
    assert_named(&["0::0", "[::]"], "::");
}

#[test]
fn all_spellings_of_a_libp2p_peer_id_name_one_peer() {
    let cids = [
        "bafzbeif74jmhf5zeuevelmcrj44u2jqwowsvnqiwjifbjohuxyinjt7gla",
        "BAFZBEIF74JMHF5ZEUEVELMCRJ44U2JQWOWSVNQIWJIFBJOHUXYINJT7GLA",
        "k2k4r8o76no7r2xpb1vro271us3sufu5680vaz2ru7ihkw6ju7khwy8o",
        "K2K4R8O76NO7R2XPB1VRO271US3SUFU5680VAZ2RU7IHKW6JU7KHWY8O",
        "zdvgqEL1wHeBhv6nHdWGSh6BqYcaSr3KyPirfDuCuKa3Xhwmh",
        "f01721220bfe25872f724a12a45b0514f394d261675a556c1164a0a14b8f4be10d4cfe658",
    ];
    assert_eq!(peer(HASHED).as_bytes()[..2], [0x12, 0x20]);
    for text in cids {
        assert_eq!(text.parse(), Ok(peer(HASHED)), "{text}");
        assert_eq!(PeerId::from_bytes(text.as_bytes()), Ok(peer(HASHED)));
        assert_eq!(key(text), Ok(peer(HASHED)), "{text}");
    }
    let cids = [
        "bafzaajaiaejcal72gwuz2or47oyxxn6b3rkwdmmkrxgkjxzy3rqt5kczyn7lcm3l",
        "k51qzi5uqu5dhdmyb9bd18pypu2wp5lpv2xnskfmrqa4lb5knqryrotb05e7or",
        "z5AanNVJCxnJ4fhdT9DsSUYvwjgHpsJ4pn4bueg8bvDe6b1tDj9rmdk",
    ];
    for text in cids {
        assert_eq!(text.parse(), Ok(peer(ED25519)), "{text}");
        assert_eq!(key(text), Ok(peer(ED25519)), "{text}");
    }
    assert_named(&[], HASHED);
    for text in [HASHED, ED25519, SECP256K1] {
        let id = peer(text);
        assert!(id.is_libp2p());
        assert_eq!(id.to_string(), text);
        assert_eq!(PeerId::from_bytes(id.as_bytes()), Ok(id));
        assert_eq!(PeerId::from_bytes(text.as_bytes()), Ok(id));
        assert_eq!(hex(id.as_bytes()).parse(), Ok(id));
        assert_eq!(key(text), Ok(id));
    }
}

#[test]
fn text_that_also_reads_as_a_multihash_names_one_peer() {
    for text in ["165", "11", "199", "16Q"] {
        assert_named(&[], text);
    }
    // Text whose bytes are a multihash.
    let id = PeerId::from_bytes(b"\x12\x03abc").unwrap();
    assert_eq!("\u{12}\u{3}abc".parse(), Ok(id));
    assert_eq!(id.to_string().parse(), Ok(id));
}

#[test]
fn a_link_local_address_keeps_its_zone() {
    assert_named(&["FE80::7%eth0", "[fe80:0::7%eth0]"], "fe80::7%eth0");
    assert_named(&["fe80::7%02"], "fe80::7%2");
    assert_named(&["fe80::7%0", "[fe80::7]"], "fe80::7");
    let zoned = SocketAddrV6::new("fe80::7".parse().unwrap(), 4001, 0, 2);
    assert_eq!(PeerId::from(SocketAddr::V6(zoned)), peer("fe80::7%2"));
    let global = SocketAddrV6::new("2001:db8::7".parse().unwrap(), 4001, 0, 2);
    assert_eq!(PeerId::from(SocketAddr::V6(global)), peer("2001:db8::7"));
    let all = ["fe80::7", "fe80::7%2", "fe80::7%eth0", "fe80::7%eth1"].map(peer);
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one), "{one}");
    }
}

#[test]
fn a_key_that_can_name_nobody_is_an_error_that_says_what_to_write() {
    let spaces = "spaces or invisible characters stand around it";
    let port = "a port is not part of a peer's name";
    let network = "a prefix length makes it a network";
    let v4 = "it looks like an IPv4 address but is not valid";
    let v6 = "it looks like an IPv6 address but is not valid";
    let cases = [
        (" 192.0.2.7", spaces, "\"192.0.2.7\""),
        ("2001:db8::7\n", spaces, "\"2001:db8::7\""),
        ("tenant-7 ", spaces, "\"tenant-7\""),
        ("\u{feff}192.0.2.7\u{200b}", spaces, "\"192.0.2.7\""),
        ("\u{a0}", "it has no visible character", ""),
        ("192.0.2.7:4001", port, "\"192.0.2.7\""),
        ("192.0.2.7:", port, "\"192.0.2.7\""),
        ("[2001:DB8::7]:4001", port, "\"2001:db8::7\""),
        ("[fe80::7%eth0]:4001", port, "\"fe80::7%eth0\""),
        ("192.0.2.7/32", network, "\"192.0.2.7\""),
        ("2001:db8::/32", network, "\"2001:db8::\""),
        ("192.0.2.7/255.255.255.0", network, "\"192.0.2.7\""),
        ("fe80::7%", "its zone is empty", "\"fe80::7\""),
        ("[fe80::7%]", "its zone is empty", "\"fe80::7\""),
        ("fe80::7%a b", "its zone is not the name", "\"fe80::7\""),
        (
            "192.0.2.7%eth0",
            "an IPv4 address has no zone",
            "\"192.0.2.7\"",
        ),
        ("[192.0.2.7]", "its brackets are misplaced", "\"192.0.2.7\""),
        (
            "[2001:db8::7",
            "its brackets are misplaced",
            "\"2001:db8::7\"",
        ),
        (
            "2001:db8::7]",
            "its brackets are misplaced",
            "\"2001:db8::7\"",
        ),
        ("192.0.2.7,192.0.2.8", "it names more than one peer", ""),
        ("192.0.2.7 192.0.2.8", "it names more than one peer", ""),
        (
            "192.0.2.7-192.0.2.9",
            "a range of addresses is not",
            "\"192.0.2.7\"",
        ),
        (
            "2001:DB8::7 # office",
            "other text follows",
            "\"2001:db8::7\"",
        ),
        ("192.0.2.7,", "other text follows", "\"192.0.2.7\""),
        ("192.0.2.7 /32", "other text follows", "\"192.0.2.7\""),
        ("'192.0.2.7'", "quotes or brackets", "\"192.0.2.7\""),
        ("<fe80::7%2>", "quotes or brackets", "\"fe80::7%2\""),
        ("0x123", "a name in hexadecimal", "two digits"),
        ("0x", "a name in hexadecimal", "two digits"),
        (
            "/ip4/192.0.2.7/tcp/4001",
            "a multiaddr is not",
            "\"192.0.2.7\"",
        ),
        ("/ip6/2001:db8::7", "a multiaddr is not", "\"2001:db8::7\""),
        ("https://192.0.2.7:443/x", "a URL is not", "\"192.0.2.7\""),
        (
            "peer:192.0.2.7",
            "the kind of scope is not",
            "\"192.0.2.7\"",
        ),
        ("192.0.2.256", v4, "0 to 255"),
        ("192.0.2.*", v4, "0 to 255"),
        ("192.000.002.007", v4, "leading zeros"),
        ("192.0.2.7.", v4, "0 to 255"),
        ("2001:db8:::7", v6, "check its spelling"),
        ("2001:db8::7::1", v6, "check its spelling"),
        ("1:2:3:4:5:6:7:8:9", v6, "check its spelling"),
        (
            "<peer.ID 12*JU5SA>",
            "it is a peer id that a log has shortened",
            "",
        ),
    ];
    for (text, why, write) in cases {
        let reason = key(text).expect_err(text);
        assert!(reason.starts_with(why), "{text}: {reason}");
        assert!(reason.contains(write), "{text}: {reason}");
    }
    for id in [HASHED, ED25519] {
        let reason = key(&format!("/ip4/192.0.2.7/tcp/4001/p2p/{id}")).unwrap_err();
        assert!(reason.ends_with(&format!("write \"{id}\"")), "{reason}");
        let reason = key(&format!("peer:{id}")).unwrap_err();
        assert!(reason.ends_with(&format!("write \"{id}\"")), "{reason}");
    }
}

#[test]
fn a_libp2p_peer_id_that_is_cut_off_is_told_so() {
    let cids = [
        "bafzbeif74jmhf5zeuevelmcrj44u2jqwowsvnqiwjifbjohuxyinjt7gla",
        "k51qzi5uqu5dhdmyb9bd18pypu2wp5lpv2xnskfmrqa4lb5knqryrotb05e7or",
        "z5AanNVJCxnJ4fhdT9DsSUYvwjgHpsJ4pn4bueg8bvDe6b1tDj9rmdk",
    ];
    for whole in [HASHED, ED25519, SECP256K1].into_iter().chain(cids) {
        for len in 24..whole.len() {
            let cut = &whole[..len];
            assert_eq!(cut.parse::<PeerId>(), Err(PeerIdError::CutOff), "{cut}");
            let reason = key(cut).unwrap_err();
            assert!(reason.contains("cut off or mistyped"), "{cut}: {reason}");
        }
    }
    for cut in [
        "12D3KooW",
        "12D3KooWD3eckif",
        "16Uiu2HAm75jGz",
        "12D3KooW…JU5SA",
    ] {
        assert_eq!(cut.parse::<PeerId>(), Err(PeerIdError::CutOff), "{cut}");
    }
}

#[test]
fn a_libp2p_peer_id_that_is_mistyped_is_told_so() {
    let mistyped = [
        ED25519.replace('e', "0"),
        ED25519.to_owned() + "x",
        SECP256K1.to_owned() + "abc",
        ED25519.to_lowercase(),
        HASHED.replace("an", "lO"),
        HASHED.to_owned() + "xx",
        // A CID of content.
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi".to_owned(),
        "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".to_owned(),
    ];
    for text in &mistyped {
        let error = PeerIdError::Mistyped;
        if text.len() > 47 {
            assert_eq!(text.parse::<PeerId>(), Err(error.clone()), "{text}");
            assert_eq!(PeerId::from_bytes(text.as_bytes()), Err(error.clone()));
        }
        assert_eq!(key(text), Err(error.to_string()), "{text}");
    }
    // One character too many is a name in a program, and an error in a file.
    let long = HASHED.to_owned() + "x";
    assert_eq!(key(&long), Err(PeerIdError::Mistyped.to_string()));
    // Other long names are only long.
    let long = "Quite a long name, which is not a peer id at all";
    let len = long.len();
    assert_eq!(long.parse::<PeerId>(), Err(PeerIdError::TooLong { len }));
}

#[test]
fn bytes_that_are_a_part_of_a_libp2p_peer_id_are_a_name() {
    // A remote may choose such a name: it must not cause an error that a program does not expect.
    let id = PeerId::from_bytes(b"12D3KooWD3eckif").unwrap();
    assert_eq!(id.as_bytes(), b"12D3KooWD3eckif");
    assert_eq!(id.to_string(), hex(id.as_bytes()));
    assert_eq!(id.to_string().parse(), Ok(id));
}

/// Bytes that a program, a file or a remote may name a peer by.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let text = |strategy: BoxedStrategy<String>| strategy.prop_map(String::into_bytes);
    prop_oneof![
        vec(any::<u8>(), 1..80),
        text("[ -~]{1,60}".boxed()),
        text("\\PC{1,20}".boxed()),
        text("0x[0-9a-fA-F]{0,100}".boxed()),
        text("1[1-9A-HJ-NP-Za-km-z]{1,10}".boxed()),
        text("[0-9a-f:.%\\[\\]]{1,40}".boxed()),
        text("\\[?fe80::[0-9a-f]{1,4}%?[a-z0-9]{0,20}\\]?".boxed()),
        text(any::<Ipv6Addr>().prop_map(|ip| ip.to_string()).boxed()),
        text(any::<Ipv4Addr>().prop_map(|ip| ip.to_string()).boxed()),
        // Names that begin like others.
        text("(12D3KooW|Qm|k51qzi5uqu5d|bafz)[1-9a-z]{0,50}".boxed()),
        // Multihashes.
        vec(any::<u8>(), 0..45).prop_map(|digest| [&[0, digest.len() as u8], &*digest].concat()),
        vec(any::<u8>(), 32..33).prop_map(|digest| [&[0x12, 0x20], &*digest].concat()),
    ]
}

/// Spellings of an IPv6 address.
fn spellings(ip: Ipv6Addr) -> Vec<String> {
    let groups = ip.segments();
    let full = groups.map(|group| format!("{group:04X}")).join(":");
    let short = groups.map(|group| format!("{group:x}")).join(":");
    let [.., a, b, c, d] = ip.octets();
    let dotted = groups[..6].iter().map(|group| format!("{group:x}:"));
    let dotted = dotted.collect::<String>() + &format!("{a}.{b}.{c}.{d}");
    let plain = [full, short, dotted, ip.to_string()];
    let bracketed = plain.clone().map(|text| format!("[{text}]"));
    plain.into_iter().chain(bracketed).collect()
}

proptest! {
    #[test]
    fn the_text_of_an_id_parses_to_the_id(name in name()) {
        if let Ok(id) = PeerId::from_bytes(&name) {
            let text = id.to_string();
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert_eq!(PeerId::from_bytes(text.as_bytes()), Ok(id));
            prop_assert_eq!(PeerId::from_bytes(id.as_bytes()), Ok(id));
            prop_assert!(text.chars().all(|char| !char.is_control()));
            let key = LimitsKey::Peer(id);
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        } else {
            prop_assert!(name.len() > PeerId::MAX_LEN);
        }
    }

    #[test]
    fn text_and_its_bytes_are_one_peer(name in name()) {
        if let Ok(text) = str::from_utf8(&name)
            && let Ok(id) = text.parse::<PeerId>()
        {
            prop_assert_eq!(PeerId::from_bytes(&name), Ok(id));
            prop_assert_eq!(hex(&name).parse::<PeerId>().unwrap_or(id), id);
            if let Ok(of_key) = PeerId::from_key(text) {
                prop_assert_eq!(of_key, id);
            }
        }
    }

    #[test]
    fn each_spelling_of_an_address_gives_the_id_of_the_address(
        bits in any::<[u16; 8]>(),
        zeros in any::<u8>(),
        prefix in prop::sample::select(vec![
            "2001:db8::", "::ffff:0:0", "64:ff9b::", "2002::", "::", "fe80::",
        ]),
        replaced in 0..8_usize,
    ) {
        let prefix: Ipv6Addr = prefix.parse().unwrap();
        let mut groups = bits;
        groups[..replaced].copy_from_slice(&prefix.segments()[..replaced]);
        for (at, group) in groups.iter_mut().enumerate().skip(replaced) {
            if zeros & 1 << at != 0 {
                *group = 0;
            }
        }
        let ip = Ipv6Addr::from(groups);
        let id = PeerId::from(ip);
        prop_assert_eq!(id, PeerId::from(canonical_ip(IpAddr::V6(ip))));
        for text in spellings(ip) {
            prop_assert_eq!(text.parse(), Ok(id), "{}", text);
            prop_assert_eq!(PeerId::from_bytes(text.as_bytes()), Ok(id), "{}", text);
            prop_assert_eq!(PeerId::from_key(&text), Ok(id), "{}", text);
        }
    }
}
