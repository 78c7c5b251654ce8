use std::net::IpAddr;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use multiaddr::{Multiaddr, Protocol};
use prefix_trie::joint::JointPrefixMap;

use rcmgr_core::{BadConfiguration, PeerId, Result};

use crate::rules::bad;
use crate::subnet::canonical;

/// Who is let in where others are refused: networks, or certain peers in them.
///
/// An entry is a multiaddr: an IP address, then perhaps `/ipcidr/N` for all that share its first N
/// bits, then perhaps `/p2p/PEER` for that peer only. Between them may be how a peer is reached
/// there (`/tcp/4001`, `/udp/4001/quic-v1`): it is ignored, as the reference does, so that a peer's
/// address can be pasted as it is. Anything else is an error: an entry without an IP, a prefix
/// longer than the address, a DNS name, a relay, an IPv6 zone (which could not be told from another
/// once a connection is there).
///
/// Entries are a set: `/ip4/192.0.2.7/tcp/1` and `/ip4/192.0.2.7/ipcidr/32` are one and the same,
/// and what was added twice is gone when it is removed once.
///
/// Asking takes no lock. Changing copies the whole list, which is meant for people, not for floods.
///
/// ```
/// use rcmgr_core::PeerId;
/// use rcmgr_address::Allowlist;
///
/// let list = Allowlist::new(&[])?;
/// list.add(&"/ip4/192.0.2.0/ipcidr/24".parse()?)?;
/// list.add(&"/ip4/9.8.7.6/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?)?;
///
/// let friend: PeerId = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// let stranger: PeerId = "somebody".parse()?;
/// assert!(list.allows_ip("9.8.7.6".parse()?));
/// assert!(list.allows(&friend, "9.8.7.6".parse()?));
/// assert!(!list.allows(&stranger, "9.8.7.6".parse()?));
/// assert!(list.allows(&stranger, "192.0.2.7".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Allowlist {
    allowed: ArcSwap<JointPrefixMap<IpNet, Allowed>>,
}

/// Who is allowed in one network.
#[derive(Debug, Clone, Default)]
struct Allowed {
    anyone: bool,
    peers: Vec<PeerId>,
}

impl Allowlist {
    /// A list of these entries.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`], which names the first entry that is none.
    pub fn new(entries: &[Multiaddr]) -> Result<Self> {
        let mut allowed = JointPrefixMap::new();
        for entry in entries {
            Entry::parse(entry)?.insert_into(&mut allowed);
        }
        Ok(Self {
            allowed: ArcSwap::from_pointee(allowed),
        })
    }

    /// Adds an entry; one that is there already stays as it is.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`], which names the entry.
    pub fn add(&self, entry: &Multiaddr) -> Result<()> {
        let entry = Entry::parse(entry)?;
        self.allowed.rcu(|allowed| {
            let mut allowed = JointPrefixMap::clone(allowed);
            entry.insert_into(&mut allowed);
            allowed
        });
        Ok(())
    }

    /// Removes an entry, and tells whether it was there. Connections that it let in stay.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`], if it could never have been added.
    pub fn remove(&self, entry: &Multiaddr) -> Result<bool> {
        let entry = Entry::parse(entry)?;
        let mut removed = false;
        self.allowed.rcu(|allowed| {
            let mut allowed = JointPrefixMap::clone(allowed);
            removed = entry.remove_from(&mut allowed);
            allowed
        });
        Ok(removed)
    }

    /// All entries, in their shortest form: without what is ignored, and without `/ipcidr` where
    /// it is one address.
    pub fn entries(&self) -> Vec<Multiaddr> {
        let allowed = self.allowed.load();
        let mut entries = Vec::new();
        for (network, allowed) in allowed.iter() {
            let anyone = allowed.anyone.then_some(None);
            let peers = allowed.peers.iter().copied().map(Some);
            entries.extend(
                anyone
                    .into_iter()
                    .chain(peers)
                    .map(|peer| Entry { network, peer }.to_multiaddr()),
            );
        }
        entries
    }

    /// Whether the address is in any entry, whoever that is for.
    pub fn allows_ip(&self, ip: IpAddr) -> bool {
        let host = IpNet::from(ip.to_canonical());
        self.allowed.load().get_spm(&host).is_some()
    }

    /// Whether the address is in an entry for anyone, or in one for this peer.
    pub fn allows(&self, peer: &PeerId, ip: IpAddr) -> bool {
        let host = IpNet::from(ip.to_canonical());
        self.allowed
            .load()
            .cover_values(&host)
            .any(|allowed| allowed.anyone || allowed.peers.contains(peer))
    }

    /// The networks from which anyone is allowed.
    pub fn networks(&self) -> Vec<IpNet> {
        let allowed = self.allowed.load();
        let open = allowed.iter().filter(|(_, allowed)| allowed.anyone);
        open.map(|(network, _)| network).collect()
    }
}

/// One entry, without what is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    network: IpNet,
    peer: Option<PeerId>,
}

impl Entry {
    fn parse(address: &Multiaddr) -> Result<Self, BadConfiguration> {
        Self::read(address).map_err(|reason| bad("allowlist", format!("{address} {reason}")))
    }

    fn read(address: &Multiaddr) -> Result<Self, String> {
        let mut parts = address.iter().peekable();
        let ip: IpAddr = match parts.next() {
            Some(Protocol::Ip4(ip)) => ip.into(),
            Some(Protocol::Ip6(ip)) => ip.into(),
            _ => return Err("does not start with an IP address".to_owned()),
        };
        let mut network = IpNet::from(ip);
        if let Some(&Protocol::Ipcidr(len)) = parts.peek() {
            let longest = network.max_prefix_len();
            network = IpNet::new(ip, len)
                .map_err(|_| format!("has a prefix of {len} bits, the longest is {longest}"))?;
            parts.next();
        }
        let mut peer = None;
        for part in parts {
            if peer.is_some() {
                return Err(format!("has {part} behind its peer"));
            }
            match part {
                Protocol::P2p(id) => {
                    let id = PeerId::from_bytes(&id.to_bytes());
                    peer = Some(id.map_err(|error| error.to_string())?);
                }
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
                other => return Err(format!("has {other}, which says nothing of who is allowed")),
            }
        }
        let network = canonical(network);
        Ok(Self { network, peer })
    }

    fn insert_into(&self, list: &mut JointPrefixMap<IpNet, Allowed>) {
        let allowed = list.entry(self.network).or_default();
        match self.peer {
            None => allowed.anyone = true,
            Some(peer) if !allowed.peers.contains(&peer) => allowed.peers.push(peer),
            Some(_) => {}
        }
    }

    fn remove_from(&self, list: &mut JointPrefixMap<IpNet, Allowed>) -> bool {
        let Some(allowed) = list.get_mut(&self.network) else {
            return false;
        };
        let removed = match self.peer {
            None => std::mem::take(&mut allowed.anyone),
            Some(peer) => match allowed.peers.iter().position(|&other| other == peer) {
                Some(at) => {
                    allowed.peers.remove(at);
                    true
                }
                None => false,
            },
        };
        if !allowed.anyone && allowed.peers.is_empty() {
            list.remove(&self.network);
        }
        removed
    }

    fn to_multiaddr(self) -> Multiaddr {
        let mut address = Multiaddr::from(self.network.addr());
        if self.network.prefix_len() < self.network.max_prefix_len() {
            address.push(Protocol::Ipcidr(self.network.prefix_len()));
        }
        if let Some(peer) = self.peer {
            let peer = multiaddr::PeerId::from_bytes(peer.as_bytes());
            address.push(Protocol::P2p(peer.expect("it came from a multiaddr")));
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALICE: &str = "12D3KooWCQdw4xEHy37dA1j7ypc3B8xk4v3BydgtBHidWzokDPmD";
    const BOB: &str = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn list(entries: &[&str]) -> Allowlist {
        let entries: Vec<_> = entries.iter().map(|entry| address(entry)).collect();
        Allowlist::new(&entries).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn all_entries_that_contain_an_address_count_not_only_the_closest() {
        let list = list(&[
            "/ip4/10.0.0.0/ipcidr/8",
            &format!("/ip4/10.1.0.0/ipcidr/16/p2p/{ALICE}"),
            &format!("/ip4/192.0.2.0/ipcidr/24/p2p/{ALICE}"),
            &format!("/ip4/192.0.2.7/p2p/{BOB}"),
        ]);
        let [alice, bob] = [ALICE, BOB].map(|peer| peer.parse().unwrap());
        assert!(list.allows(&bob, ip("10.1.2.3")));
        assert!(list.allows(&alice, ip("192.0.2.7")));
        assert!(list.allows(&bob, ip("192.0.2.7")));
        assert!(!list.allows(&bob, ip("192.0.2.8")));
        assert!(list.allows_ip(ip("192.0.2.8")));
        assert!(!list.allows_ip(ip("192.0.3.1")));
        assert_eq!(list.networks(), ["10.0.0.0/8".parse().unwrap()]);
    }

    #[test]
    fn what_was_added_twice_is_gone_when_it_is_removed_once() {
        let list = list(&["/ip4/192.0.2.7/tcp/4001", "/ip4/192.0.2.7/ipcidr/32"]);
        let with_peer = address(&format!("/ip4/192.0.2.7/udp/1/quic-v1/p2p/{BOB}"));
        list.add(&with_peer).unwrap();
        list.add(&with_peer).unwrap();
        assert_eq!(list.entries().len(), 2);

        assert!(list.remove(&address("/ip4/192.0.2.7")).unwrap());
        assert!(!list.remove(&address("/ip4/192.0.2.7")).unwrap());
        assert_eq!(
            list.entries(),
            [address(&format!("/ip4/192.0.2.7/p2p/{BOB}"))]
        );
        assert!(list.remove(&with_peer).unwrap());
        assert!(!list.allows_ip(ip("192.0.2.7")));
    }

    #[test]
    fn mapped_addresses_are_of_ipv4() {
        let list = list(&["/ip6/::ffff:192.0.2.0/ipcidr/120", "/ip4/9.8.7.6"]);
        assert!(list.allows_ip(ip("192.0.2.7")));
        assert!(list.allows_ip(ip("::ffff:9.8.7.6")));
        assert_eq!(
            list.entries(),
            [address("/ip4/9.8.7.6"), address("/ip4/192.0.2.0/ipcidr/24")]
        );
    }

    #[test]
    fn an_entry_that_is_none_is_named() {
        let bad = [
            "/dns4/example.com/tcp/443".to_owned(),
            format!("/p2p/{BOB}"),
            "/ip4/192.0.2.7/ipcidr/33".to_owned(),
            "/ip6/2001:db8::/ipcidr/129".to_owned(),
            "/ip4/192.0.2.7/tcp/1/ipcidr/24".to_owned(),
            "/ip4/192.0.2.7/ip4/192.0.2.8".to_owned(),
            "/ip6zone/eth0/ip6/fe80::1".to_owned(),
            format!("/ip4/192.0.2.7/p2p/{BOB}/p2p-circuit"),
            format!("/ip4/192.0.2.7/p2p/{BOB}/p2p/{ALICE}"),
        ];
        let list = list(&[]);
        for entry in bad {
            let error = list.add(&address(&entry)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("allowlist: {entry} ")),
                "{error}"
            );
        }
        assert!(list.add(&Multiaddr::empty()).is_err());
        assert!(list.entries().is_empty());
    }

    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|ip| format!("/ip4/{}", IpAddr::from(ip))),
            any::<[u8; 16]>().prop_map(|ip| format!("/ip6/{}", IpAddr::from(ip))),
            any::<u8>().prop_map(|len| format!("/ipcidr/{len}")),
            any::<u16>().prop_map(|port| format!("/tcp/{port}")),
            Just(format!("/p2p/{ALICE}")),
            Just(format!("/p2p/{BOB}")),
            Just("/p2p-circuit".to_owned()),
            Just("/dns/example.com".to_owned()),
        ]
    }

    fn any_address() -> impl Strategy<Value = Option<Multiaddr>> {
        prop_oneof![
            any::<String>().prop_map(|text| text.parse().ok()),
            proptest::collection::vec(any::<u8>(), 0..64)
                .prop_map(|bytes| Multiaddr::try_from(bytes).ok()),
            proptest::collection::vec(part(), 0..5).prop_map(|parts| parts.concat().parse().ok()),
        ]
    }

    proptest! {
        #[test]
        fn nothing_that_can_be_written_panics(entry in any_address()) {
            let list = list(&[]);
            if let Some(entry) = entry {
                let _ = rcmgr_core::Endpoint::from(entry.clone()).ip();
                if list.add(&entry).is_ok() {
                    let [shortest]: [Multiaddr; 1] = list.entries().try_into().unwrap();
                    prop_assert!(list.remove(&shortest).unwrap());
                }
                prop_assert!(list.entries().is_empty());
            }
        }
    }
}
