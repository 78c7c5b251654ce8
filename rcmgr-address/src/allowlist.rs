//! The allowlist: networks, and peers, that are admitted when the standard scopes refuse.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use indexmap::IndexSet;
use ipnet::{IpNet, Ipv6Net};
use parking_lot::Mutex;
use prefix_trie::joint::JointPrefixMap;

use rcmgr_core::address::{AllowlistEntry, canonical_ip_with, canonical_network_with};
use rcmgr_core::{Endpoint, PeerId};

/// Networks, and peers, that are admitted when the standard scopes refuse.
///
/// Entries form a set. `/ip4/192.0.2.7/tcp/1` and `192.0.2.7` are the same entry, and an entry that
/// was added twice is gone after one removal. An entry with neither a network nor a peer admits
/// nothing.
///
/// A lookup takes no lock. A change copies the whole list, which is acceptable for a few thousand
/// entries.
///
/// ```
/// use rcmgr_core::PeerId;
/// use rcmgr_address::{Allowlist, Listing};
///
/// let list = Allowlist::new(&["192.0.2.0/24".parse()?]);
/// list.add("/ip4/9.8.7.6/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?);
///
/// let friend: PeerId = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// let stranger: PeerId = "other-peer".parse()?;
/// let [any, own]: [std::net::IpAddr; 2] = ["192.0.2.7".parse()?, "9.8.7.6".parse()?];
/// assert_eq!(list.listing(any), Listing::EveryPeer);
/// assert_eq!(list.listing(own), Listing::SomePeersHere);
/// assert!(list.allows(&friend, own));
/// assert!(!list.allows(&stranger, own));
/// assert!(list.allows(&stranger, any));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Allowlist {
    index: ArcSwap<Index>,
    /// Locked during every change.
    entries: Mutex<Entries>,
}

/// What the allowlist says about an endpoint before the peer is known.
///
/// ```
/// use rcmgr_address::{Allowlist, Listing};
/// use rcmgr_core::Endpoint;
///
/// let friend = "/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y".parse()?;
/// let list = Allowlist::new(&[friend]);
/// assert_eq!(list.listing(Endpoint::None), Listing::SomePeers);
/// list.remove(&friend);
/// assert_eq!(list.listing(Endpoint::None), Listing::NotListed);
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listing {
    /// No entry admits a connection from here.
    NotListed,
    /// Entries admit some peers at any address. Whether the remote is one of them is not proven yet.
    /// If there is such an entry, every endpoint is listed like this at least.
    SomePeers,
    /// Entries admit some peers from a network that contains the endpoint. Whether the remote is
    /// one of them is not proven yet.
    SomePeersHere,
    /// An entry admits all peers from here.
    EveryPeer,
}

/// The sources of the list, in canonical form.
#[derive(Debug, Default)]
struct Entries {
    nat64: Vec<Ipv6Net>,
    configured: IndexSet<AllowlistEntry>,
    /// Added by hand.
    added: IndexSet<AllowlistEntry>,
    /// Configured entries that were removed by hand.
    removed: HashSet<AllowlistEntry>,
}

impl Entries {
    fn canonical(&self, entry: &AllowlistEntry) -> AllowlistEntry {
        let network = |network| canonical_network_with(network, &self.nat64);
        AllowlistEntry {
            network: entry.network.map(network),
            peer: entry.peer,
        }
    }

    fn contains(&self, entry: &AllowlistEntry) -> bool {
        self.added.contains(entry)
            || self.configured.contains(entry) && !self.removed.contains(entry)
    }

    /// All entries, each once.
    fn all(&self) -> impl Iterator<Item = AllowlistEntry> {
        let configured = self.configured.difference(&self.added);
        let configured = configured.filter(|entry| !self.removed.contains(*entry));
        configured.chain(&self.added).copied()
    }
}

/// The entries, in the form that lookups use.
#[derive(Debug, Default)]
struct Index {
    nat64: Vec<Ipv6Net>,
    networks: JointPrefixMap<IpNet, InNetwork>,
    /// The peers that are admitted at any address.
    peers: HashSet<PeerId, RandomState>,
}

/// The entries of one network.
#[derive(Debug, Default)]
struct InNetwork {
    every_peer: bool,
    peers: HashSet<PeerId, RandomState>,
}

impl Index {
    fn new(entries: &Entries) -> Self {
        let mut index = Self {
            nat64: entries.nat64.clone(),
            ..Self::default()
        };
        for AllowlistEntry { network, peer } in entries.all() {
            let in_network = network.map(|network| index.networks.entry(network).or_default());
            match (in_network, peer) {
                (Some(in_network), None) => in_network.every_peer = true,
                (Some(in_network), Some(peer)) => drop(in_network.peers.insert(peer)),
                (None, Some(peer)) => drop(index.peers.insert(peer)),
                (None, None) => {}
            }
        }
        index
    }

    /// The entries of each network that contains the endpoint.
    fn around(&self, endpoint: Endpoint) -> impl Iterator<Item = &InNetwork> {
        let ip = endpoint.ip().map(|ip| canonical_ip_with(ip, &self.nat64));
        ip.into_iter()
            .flat_map(|ip| self.networks.cover_values(&IpNet::from(ip)))
    }
}

impl Allowlist {
    /// A list with these entries.
    pub fn new(entries: &[AllowlistEntry]) -> Self {
        let list = Self {
            index: ArcSwap::default(),
            entries: Mutex::default(),
        };
        list.configure(entries, &[]);
        list
    }

    /// Replaces the entries of the configuration. Those that were added by hand stay. One that was
    /// removed by hand stays away until the configuration no longer has it.
    pub(crate) fn configure(&self, configured: &[AllowlistEntry], nat64: &[Ipv6Net]) {
        let mut entries = self.entries.lock();
        let mut next = Entries {
            nat64: nat64.to_vec(),
            ..Entries::default()
        };
        next.configured = configured
            .iter()
            .map(|entry| next.canonical(entry))
            .collect();
        next.added = entries
            .added
            .iter()
            .map(|entry| next.canonical(entry))
            .collect();
        let removed = entries.removed.iter().map(|entry| next.canonical(entry));
        next.removed = removed
            .filter(|entry| next.configured.contains(entry))
            .collect();
        self.index.store(Arc::new(Index::new(&next)));
        *entries = next;
    }

    /// Adds an entry, and returns whether it is new. The entry stays when a configuration replaces
    /// the configured entries.
    pub fn add(&self, entry: AllowlistEntry) -> bool {
        self.change(&entry, |entries, entry| {
            let is_new = !entries.contains(&entry);
            entries.added.insert(entry);
            entries.removed.remove(&entry);
            is_new
        })
    }

    /// Removes an entry, and returns whether it existed. Connections that it admitted stay open. An
    /// entry of the configuration stays away until a configuration does not have it.
    pub fn remove(&self, entry: &AllowlistEntry) -> bool {
        self.change(entry, |entries, entry| {
            let existed = entries.contains(&entry);
            entries.added.shift_remove(&entry);
            if entries.configured.contains(&entry) {
                entries.removed.insert(entry);
            }
            existed
        })
    }

    fn change<T>(
        &self,
        entry: &AllowlistEntry,
        change: impl FnOnce(&mut Entries, AllowlistEntry) -> T,
    ) -> T {
        let mut entries = self.entries.lock();
        let entry = entries.canonical(entry);
        let result = change(&mut entries, entry);
        self.index.store(Arc::new(Index::new(&entries)));
        result
    }

    /// All entries: those of the configuration, then those that were added.
    pub fn entries(&self) -> Vec<AllowlistEntry> {
        self.entries.lock().all().collect()
    }

    /// What the list says about an endpoint before the peer is known.
    pub fn listing(&self, endpoint: impl Into<Endpoint>) -> Listing {
        let index = self.index.load();
        let mut listing = match index.peers.is_empty() {
            true => Listing::NotListed,
            false => Listing::SomePeers,
        };
        for in_network in index.around(endpoint.into()) {
            if in_network.every_peer {
                return Listing::EveryPeer;
            }
            listing = Listing::SomePeersHere;
        }
        listing
    }

    /// Whether any entry admits a peer from this address.
    pub fn allows_ip(&self, ip: IpAddr) -> bool {
        self.listing(ip) != Listing::NotListed
    }

    /// Whether an entry admits this peer from this endpoint: an entry for its address without a
    /// peer, one with this peer, or one for this peer at any address.
    pub fn allows(&self, peer: &PeerId, endpoint: impl Into<Endpoint>) -> bool {
        let index = self.index.load();
        let mut around = index.around(endpoint.into());
        index.peers.contains(peer)
            || around.any(|entries| entries.every_peer || entries.peers.contains(peer))
    }

    /// The networks of the entries without a peer.
    pub fn networks(&self) -> Vec<IpNet> {
        let entries = self.entries.lock();
        let open = entries.all().filter(|entry| entry.peer.is_none());
        open.filter_map(|entry| entry.network).collect()
    }
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
        assert_eq!(list.entries(), [entry("192.0.2.0/24"), entry("9.8.7.6")]);
    }
}
