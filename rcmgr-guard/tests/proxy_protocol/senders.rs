//! The networks of the proxies in front.

use std::net::IpAddr;

use rcmgr_guard::proxy_protocol::Senders;

fn senders(networks: &[&str]) -> Senders {
    let networks: Vec<_> = networks.iter().map(|text| text.parse().unwrap()).collect();
    Senders::new(&networks)
}

fn requires(senders: &Senders, sender: &str) -> bool {
    senders.requires_header(sender.parse::<IpAddr>().unwrap())
}

#[test]
fn only_a_sender_of_a_trusted_network_has_a_header() {
    let senders = senders(&["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
    for trusted in ["10.0.0.0", "10.255.255.255", "192.0.2.1", "2001:db8::1"] {
        assert!(requires(&senders, trusted), "{trusted}");
    }
    for other in ["11.0.0.0", "192.0.2.2", "2001:db9::1", "::1", "127.0.0.1"] {
        assert!(!requires(&senders, other), "{other}");
    }
}

#[test]
fn without_a_trusted_network_no_sender_has_a_header() {
    assert!(!requires(&Senders::default(), "127.0.0.1"));
    assert!(!requires(&senders(&[]), "::1"));
}

#[test]
fn ipv4_mapped_senders_and_networks_count_as_ipv4() {
    for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
        let senders = senders(&[network]);
        assert!(requires(&senders, "10.1.2.3"), "{network}");
        assert!(requires(&senders, "::ffff:10.1.2.3"), "{network}");
        assert!(!requires(&senders, "::ffff:11.1.2.3"), "{network}");
    }
    assert!(!requires(&senders(&["::/0"]), "::ffff:10.1.2.3"));
}
