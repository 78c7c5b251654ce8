//! Compares the parser of allowlist entries with the crate `multiaddr`: a text is an entry if and
//! only if `multiaddr` accepts it and all its parts are allowed in an entry, or it is a plain
//! network, address or peer.

use std::net::IpAddr;

use multiaddr::{Multiaddr, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use rcmgr_address::{Allowlist, AllowlistEntry};
use rcmgr_core::address::canonical_network;
use rcmgr_core::ipnet::IpNet;
use rcmgr_core::{Endpoint, PeerId};

const ALICE: &str = "12D3KooWCQdw4xEHy37dA1j7ypc3B8xk4v3BydgtBHidWzokDPmD";
const BOB: &str = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";

/// The expected network and peer, parsed with the crates `multiaddr` and `ipnet`.
fn expected(text: &str) -> Option<(Option<IpNet>, Option<PeerId>)> {
    let host = text.parse::<IpAddr>().map(IpNet::from).ok();
    if let Some(network) = host.or_else(|| text.parse().ok()) {
        return Some((Some(network), None));
    }
    let address: Multiaddr = text.parse().ok()?;
    let mut parts = address.iter().peekable();
    let ip: Option<IpAddr> = match parts.peek()? {
        Protocol::Ip4(ip) => Some((*ip).into()),
        Protocol::Ip6(ip) => Some((*ip).into()),
        Protocol::P2p(_) => None,
        _ => return None,
    };
    let mut network = ip.map(IpNet::from);
    if let Some(ip) = ip {
        parts.next();
        if let Some(&Protocol::Ipcidr(len)) = parts.peek() {
            network = Some(IpNet::new(ip, len).ok()?);
            parts.next();
        }
    }
    let mut peer = None;
    for part in parts {
        match part {
            _ if peer.is_some() => return None,
            Protocol::P2p(id) => peer = Some(PeerId::from_bytes(&id.to_bytes()).ok()?),
            Protocol::Tcp(_)
            | Protocol::Udp(_)
            | Protocol::Sctp(_)
            | Protocol::Dccp(_)
            | Protocol::Utp
            | Protocol::Udt
            | Protocol::Quic
            | Protocol::QuicV1
            | Protocol::Tls
            | Protocol::Noise
            | Protocol::Sni(_)
            | Protocol::Http
            | Protocol::Https
            | Protocol::Ws(_)
            | Protocol::Wss(_)
            | Protocol::WebTransport
            | Protocol::WebRTCDirect
            | Protocol::Certhash(_) => {}
            _ => return None,
        }
    }
    Some((network, peer))
}

fn part() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("tcp"),
        Just("udp"),
        Just("dccp"),
        Just("sctp"),
        Just("sni"),
        Just("x-parity-ws"),
        Just("x-parity-wss"),
        Just("ipcidr"),
        Just("dns"),
        Just("ip6zone"),
        Just("p2p"),
        Just("ipfs"),
        Just("memory"),
        Just("ip4"),
        Just("http-path"),
    ];
    let value = prop_oneof![
        any::<u8>().prop_map(|number| number.to_string()),
        (0u32..70_000).prop_map(|number| number.to_string()),
        Just("+7".to_owned()),
        Just("%2Fws".to_owned()),
        Just("%ff%".to_owned()),
        Just("%c3%a4%zz".to_owned()),
        Just(ALICE.to_owned()),
        Just(String::new()),
        "[1-9A-HJ-NP-Za-km-z]{0,60}",
        "[^/]{0,8}",
    ];
    prop_oneof![
        3 => any::<[u8; 4]>().prop_map(|ip| format!("/ip4/{}", IpAddr::from(ip))),
        3 => any::<[u8; 16]>().prop_map(|ip| format!("/ip6/{}", IpAddr::from(ip))),
        1 => Just("/ip6/::ffff:192.0.2.7".to_owned()),
        1 => Just("/ip6/2002:c000:207::".to_owned()),
        2 => (0u8..140).prop_map(|len| format!("/ipcidr/{len}")),
        2 => any::<u16>().prop_map(|port| format!("/tcp/{port}")),
        2 => Just(format!("/p2p/{ALICE}")),
        1 => Just(format!("/ipfs/{BOB}")),
        // A multihash in base64url, as go-libp2p writes it.
        1 => Just("/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ".to_owned()),
        2 => prop_oneof![
            Just("/quic"), Just("/quic-v1"), Just("/tls"), Just("/noise"), Just("/http"),
            Just("/https"), Just("/ws"), Just("/wss"), Just("/webtransport"), Just("/webrtc-direct"),
            Just("/utp"), Just("/udt"), Just("/webrtc"), Just("/p2p-circuit"), Just("/x"), Just("/"),
        ]
        .prop_map(str::to_owned),
        2 => (name, value).prop_map(|(name, value)| format!("/{name}/{value}")),
    ]
}

/// A text that usually starts with an address.
fn text() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        4 => Just("/ip4/192.0.2.7"),
        1 => Just("/ip6/2001:db8::7"),
        1 => Just(""),
    ];
    let parts =
        (address, vec(part(), 0..5)).prop_map(|(first, parts)| first.to_owned() + &parts.concat());
    let plain = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| IpAddr::from(ip).to_string()),
        any::<[u8; 16]>().prop_map(|ip| IpAddr::from(ip).to_string()),
        (any::<[u8; 4]>(), 0u8..40).prop_map(|(ip, len)| format!("{}/{len}", IpAddr::from(ip))),
        (any::<[u8; 16]>(), 0u8..140).prop_map(|(ip, len)| format!("{}/{len}", IpAddr::from(ip))),
        (any::<[u8; 4]>(), any::<u16>())
            .prop_map(|(ip, port)| format!("{}:{port}", IpAddr::from(ip))),
    ];
    prop_oneof![8 => parts, 3 => plain, 1 => any::<String>(), 1 => "/[^/]{0,6}(/[^/]{0,6}){0,4}"]
}

proptest! {
    #[test]
    fn an_entry_parses_as_with_the_crate_multiaddr(text in text()) {
        let entry = text.parse::<AllowlistEntry>();
        match (&entry, expected(&text)) {
            (Ok(entry), Some((network, peer))) => {
                prop_assert_eq!(entry.network, network.map(canonical_network), "{}", text);
                prop_assert_eq!(entry.peer, peer);
            }
            (Err(bad), None) => {
                let start = format!("allowlist: {:.200} ", rcmgr_core::shown(&text));
                prop_assert!(bad.to_string().starts_with(&start), "{}", bad);
            }
            (entry, expected) => prop_assert!(false, "{text}: got {entry:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn an_entry_survives_the_round_trip_through_text_and_through_the_list(text in text()) {
        if let Ok(entry) = text.parse::<AllowlistEntry>() {
            let shortest = entry.to_string();
            prop_assert_eq!(shortest.parse(), Ok(entry));
            prop_assert!(expected(&shortest).is_some());

            let list = Allowlist::new(&[entry]);
            prop_assert_eq!(list.entries(), [entry]);
            let peer = entry.peer.unwrap_or_else(|| "any".parse().unwrap());
            match entry.network {
                Some(network) => prop_assert!(list.allows(&peer, network.addr())),
                None => prop_assert!(list.allows(&peer, Endpoint::None)),
            }
            prop_assert!(list.remove(&entry));
            prop_assert_eq!(list.entries(), []);
        }
    }
}
