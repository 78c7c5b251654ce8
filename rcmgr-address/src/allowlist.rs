//! The allowlist: networks, and peers in networks, that are admitted when the standard scopes
//! refuse.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;
use rcmgr_core::PeerId;
use rcmgr_core::address::{AllowlistEntry, canonical_network};

/// Networks, and peers in networks, that are admitted when the standard scopes refuse.
///
/// Entries form a set. `/ip4/192.0.2.7/tcp/1` and `/ip4/192.0.2.7/ipcidr/32` are the same entry,
/// and an entry that was added twice is gone after one removal.
///
/// A lookup takes no lock. A change copies the whole list, which is acceptable for a few thousand
/// entries.
///
/// ```
/// use rcmgr_core::PeerId;
/// use rcmgr_address::Allowlist;
///
/// let list = Allowlist::new(&["/ip4/192.0.2.0/ipcidr/24".parse()?]);
/// list.add("/ip4/9.8.7.6/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?);
///
/// let friend: PeerId = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// let stranger: PeerId = "other-peer".parse()?;
/// assert!(list.allows_ip("9.8.7.6".parse()?));
/// assert!(list.allows(&friend, "9.8.7.6".parse()?));
/// assert!(!list.allows(&stranger, "9.8.7.6".parse()?));
/// assert!(list.allows(&stranger, "192.0.2.7".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Allowlist {
    allowed: ArcSwap<Allowed>,
}

/// The entries, by network.
type Allowed = JointPrefixMap<IpNet, InNetwork>;

/// The entries of one network.
#[derive(Debug, Clone, Default)]
struct InNetwork {
    all_peers: bool,
    peers: Vec<PeerId>,
}

impl Allowlist {
    /// A list with these entries.
    pub fn new(entries: &[AllowlistEntry]) -> Self {
        Self {
            allowed: ArcSwap::from_pointee(allowed(entries)),
        }
    }

    /// Replaces all entries.
    pub(crate) fn replace(&self, entries: &[AllowlistEntry]) {
        self.allowed.store(Arc::new(allowed(entries)));
    }

    /// Adds an entry, and returns whether it is new.
    pub fn add(&self, entry: AllowlistEntry) -> bool {
        self.change(|allowed| insert(allowed, &entry))
    }

    /// Removes an entry, and returns whether it existed. Connections that it admitted stay open.
    pub fn remove(&self, entry: &AllowlistEntry) -> bool {
        self.change(|allowed| remove(allowed, entry))
    }

    fn change<T>(&self, change: impl Fn(&mut Allowed) -> T) -> T {
        let mut result = None;
        // The closure may run more than once; the last result belongs to the list that was stored.
        self.allowed.rcu(|allowed| {
            let mut allowed = Allowed::clone(allowed);
            result = Some(change(&mut allowed));
            allowed
        });
        result.expect("rcu runs its closure at least once")
    }

    /// All entries.
    pub fn entries(&self) -> Vec<AllowlistEntry> {
        let allowed = self.allowed.load();
        let entries = allowed.iter().flat_map(|(network, allowed)| {
            let all_peers = allowed.all_peers.then_some(None);
            let peers = allowed.peers.iter().copied().map(Some);
            let admitted = all_peers.into_iter().chain(peers);
            admitted.map(move |peer| AllowlistEntry { network, peer })
        });
        entries.collect()
    }

    /// Whether the address is in any entry, with or without a peer.
    pub fn allows_ip(&self, ip: IpAddr) -> bool {
        let host = IpNet::from(ip.to_canonical());
        self.allowed.load().get_spm(&host).is_some()
    }

    /// Whether the address is in an entry without a peer, or in an entry for this peer.
    pub fn allows(&self, peer: &PeerId, ip: IpAddr) -> bool {
        let host = IpNet::from(ip.to_canonical());
        self.allowed
            .load()
            .cover_values(&host)
            .any(|allowed| allowed.all_peers || allowed.peers.contains(peer))
    }

    /// The networks of the entries without a peer.
    pub fn networks(&self) -> Vec<IpNet> {
        let allowed = self.allowed.load();
        let open = allowed.iter().filter(|(_, allowed)| allowed.all_peers);
        open.map(|(network, _)| network).collect()
    }
}

fn allowed(entries: &[AllowlistEntry]) -> Allowed {
    let mut allowed = JointPrefixMap::new();
    for entry in entries {
        insert(&mut allowed, entry);
    }
    allowed
}

fn insert(list: &mut Allowed, entry: &AllowlistEntry) -> bool {
    let in_network = list.entry(canonical_network(entry.network)).or_default();
    match entry.peer {
        None => !std::mem::replace(&mut in_network.all_peers, true),
        Some(peer) if in_network.peers.contains(&peer) => false,
        Some(peer) => {
            in_network.peers.push(peer);
            true
        }
    }
}

fn remove(list: &mut Allowed, entry: &AllowlistEntry) -> bool {
    let network = canonical_network(entry.network);
    let Some(in_network) = list.get_mut(&network) else {
        return false;
    };
    let removed = match entry.peer {
        None => std::mem::take(&mut in_network.all_peers),
        Some(peer) => {
            let at = in_network.peers.iter().position(|&other| other == peer);
            at.map(|at| in_network.peers.remove(at)).is_some()
        }
    };
    if !in_network.all_peers && in_network.peers.is_empty() {
        list.remove(&network);
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "12D3KooWCQdw4xEHy37dA1j7ypc3B8xk4v3BydgtBHidWzokDPmD";
    const BOB: &str = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";

    fn entry(text: &str) -> AllowlistEntry {
        text.parse().unwrap()
    }

    fn list(entries: &[&str]) -> Allowlist {
        let entries: Vec<_> = entries.iter().map(|text| entry(text)).collect();
        Allowlist::new(&entries)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_entry_that_contains_an_address_counts_not_only_the_most_specific() {
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
    fn an_entry_that_was_added_twice_is_gone_after_one_removal() {
        let list = list(&["/ip4/192.0.2.7/tcp/4001", "/ip4/192.0.2.7/ipcidr/32"]);
        let with_peer = entry(&format!("/ip4/192.0.2.7/udp/1/quic-v1/p2p/{BOB}"));
        assert!(list.add(with_peer));
        assert!(!list.add(with_peer));
        assert_eq!(list.entries().len(), 2);

        assert!(list.remove(&entry("/ip4/192.0.2.7")));
        assert!(!list.remove(&entry("/ip4/192.0.2.7")));
        assert_eq!(
            list.entries(),
            [entry(&format!("/ip4/192.0.2.7/p2p/{BOB}"))]
        );
        assert!(list.remove(&with_peer));
        assert!(!list.allows_ip(ip("192.0.2.7")));
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        let list = list(&["/ip6/::ffff:192.0.2.0/ipcidr/120", "/ip4/9.8.7.6"]);
        assert!(list.allows_ip(ip("192.0.2.7")));
        assert!(list.allows_ip(ip("::ffff:9.8.7.6")));
        assert_eq!(
            list.entries(),
            [entry("/ip4/9.8.7.6"), entry("/ip4/192.0.2.0/ipcidr/24")]
        );
    }
}
