//! The numbers of the demo: clients, limits, and file descriptors.

use std::net::{IpAddr, Ipv4Addr};

use rcmgr_atomic::{KIB, Limit, LimitValue, Limits, PeerId};
use rcmgr_config::PartialLimits;

use super::limit_args::LimitSettings;
use super::options::Options;
use super::stage::Stage;

/// The number of addresses of honest clients, unless an option says otherwise.
const HONEST: u8 = 16;

/// The longest request of an honest client, in bytes.
pub const REQUEST: u64 = 16 * KIB;
/// The memory that a hoarding client claims and never sends, in bytes: more than a connection may
/// have, or as much as a connection may have so that many claims exceed the limit of the peer.
pub const CLAIMS: [u64; 2] = [1024 * KIB, 64 * KIB];

/// The number of connections that a hoarding address opens at a time.
pub const HOARD_OPENINGS: u64 = 8;

/// File descriptors that are not used for connections.
const OTHER_FDS: u64 = 48;

/// The plan of the demo.
#[derive(Debug)]
pub struct Plan {
    /// The number of connections of honest clients.
    pub connections: u64,
    /// The addresses of honest clients.
    pub honest: Vec<Ipv4Addr>,
    /// The flooding addresses.
    pub floods: Vec<Flood>,
    /// The limits of the manager.
    pub limits: Limits,
    /// What the server has without the manager: the demo's own limits of the system.
    pub machine: Limit,
    /// The number of connections that all honest clients together open at a time. It leaves a part
    /// of the transient scope to others.
    pub honest_openings: u64,
    /// The number of connections that a silent address opens at a time: more than the transient
    /// scope allows.
    pub silent_openings: u64,
    /// The number of connections that a hoarding address tries to hold: more than a peer may have.
    pub wanted: u64,
}

/// An address that floods.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// The source address.
    pub from: Ipv4Addr,
    /// The behaviour.
    pub behaviour: Behaviour,
    /// The first stage of the flood.
    pub begins: Stage,
    /// The stage at which the flood ends.
    pub ends: Stage,
}

/// The behaviour of a flooding address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Opens connections, keeps them, and claims memory on them.
    Hoard,
    /// Opens connections and never sends a hello.
    Silent,
}

impl Plan {
    /// The plan with the requested number of honest connections, or as many as `fds` file
    /// descriptors allow; `None` if there are not enough for one.
    pub fn within(options: &Options, file: &PartialLimits, fds: u64) -> Option<Self> {
        (1..=options.connections)
            .rev()
            .map(|connections| Self::new(options, file, connections))
            .find(|plan| plan.fds() <= fds)
    }

    /// The plan for this number of honest connections, with the limits of a file.
    pub fn new(options: &Options, file: &PartialLimits, connections: u64) -> Self {
        let honest = honest(options, connections);
        let floods: Vec<_> = floods(options).collect();
        let addresses = honest.len() as u64;
        let share = connections.div_ceil(addresses);
        let per_peer = share + share / 4 + 1;
        let transient = (connections / 8).clamp(8, 64);
        let (early, late) = hoarders(options.flooding);
        // The first hoarder reaches the limit of its own peer. The later ones together reach the
        // limit of the system.
        let system = connections + early * per_peer + (late * per_peer * 3).div_ceil(4);

        let demo_limits = demo_limits(system, transient, per_peer);
        let mut limits = file.build(&demo_limits);
        for settings in &options.limits {
            settings.apply(&mut limits);
        }
        Self {
            connections,
            honest,
            floods,
            limits,
            machine: demo_limits.system,
            honest_openings: transient / 2,
            silent_openings: transient + 8,
            wanted: 2 * per_peer,
        }
    }

    /// The number of honest connections of each address, in the order of addresses.
    pub fn shares(&self) -> impl Iterator<Item = (Ipv4Addr, u64)> {
        let addresses = self.honest.len() as u64;
        let (each, over) = (self.connections / addresses, self.connections % addresses);
        let shares = (0..).map(move |at| each + u64::from(at < over));
        self.honest.iter().copied().zip(shares)
    }

    /// The largest number of file descriptors that are open at once: both ends of every connection
    /// are in this process.
    pub fn fds(&self) -> u64 {
        let count = |behaviour| {
            self.floods
                .iter()
                .filter(|f| f.behaviour == behaviour)
                .count() as u64
        };
        let hoarding = count(Behaviour::Hoard);
        let wanted = self.connections + hoarding * self.wanted;
        let most = [self.machine, self.limits.system].map(|limit| most_connections(&limit));
        let open = match most.into_iter().max() {
            Some(LimitValue::Limited(most)) => wanted.min(most),
            _ => wanted,
        };
        let opening = self.honest_openings
            + hoarding * HOARD_OPENINGS
            + count(Behaviour::Silent) * self.silent_openings;
        // A hoarder may hold connections that the server has lost in a crash.
        (open + opening) + (wanted + opening) + OTHER_FDS
    }

    /// The stages between the arrival of honest clients and the end that have a flood.
    pub fn flooded_stages(&self) -> Vec<Stage> {
        let mut stages: Vec<_> = self.floods.iter().map(|flood| flood.begins).collect();
        stages.dedup();
        stages
    }
}

/// The addresses of honest clients.
fn honest(options: &Options, connections: u64) -> Vec<Ipv4Addr> {
    let addresses = connections.min(options.honest.unwrap_or(HONEST).into());
    let numbered = (1..=addresses).map(|n| Ipv4Addr::new(127, 0, 1, n as u8));
    numbered.collect()
}

fn floods(options: &Options) -> impl Iterator<Item = Flood> {
    (0..options.flooding).map(Flood::numbered)
}

/// Checks that the options fit together.
///
/// # Errors
///
/// If one of them has no effect.
pub fn fit_together(options: &Options) -> Result<(), String> {
    if let Some(honest) = options.honest
        && u64::from(honest) > options.connections
    {
        let connections = options.connections;
        return Err(format!(
            "--honest {honest} has no effect: there are only {connections} honest connections, and \
             an address has at least one"
        ));
    }
    let there = peers(options);
    let is_there = |peer: &PeerId| {
        let mut there = there.iter();
        there.any(|ip| PeerId::from(IpAddr::V4(*ip)) == *peer)
    };
    let mut named = options.limits.iter().flat_map(LimitSettings::peers);
    match named.find(|peer| !is_there(peer)) {
        Some(peer) => {
            let there: Vec<_> = there.iter().map(ToString::to_string).collect();
            Err(format!(
                "--limits for Peer.{peer} has no effect: the demo's peers are {}",
                there.join(", ")
            ))
        }
        None => Ok(()),
    }
}

/// The addresses that have a peer scope of their own: silent ones never say who they are.
fn peers(options: &Options) -> Vec<Ipv4Addr> {
    let hoarders = floods(options).filter(|flood| flood.behaviour == Behaviour::Hoard);
    let honest = honest(options, options.connections).into_iter();
    honest.chain(hoarders.map(|flood| flood.from)).collect()
}

impl Flood {
    fn numbered(number: u8) -> Self {
        let (behaviour, begins, ends) = match number {
            0 => (Behaviour::Hoard, Stage::OneHoards, Stage::Leaving),
            1 => (Behaviour::Silent, Stage::OneIsSilent, Stage::AllHoard),
            _ => (Behaviour::Hoard, Stage::AllHoard, Stage::Leaving),
        };
        Self {
            from: Ipv4Addr::new(127, 0, 2, number + 1),
            behaviour,
            begins,
            ends,
        }
    }
}

/// The number of addresses that hoard from the start, and the number of those that hoard only at
/// the end.
fn hoarders(flooding: u8) -> (u64, u64) {
    (
        u64::from(flooding.min(1)),
        flooding.saturating_sub(2).into(),
    )
}

/// The largest number of inbound connections under this limit, each with a file descriptor.
pub fn most_connections(limit: &Limit) -> LimitValue {
    let fields = [limit.conns_inbound, limit.conns, limit.fd];
    let numbers = fields.into_iter().filter_map(|field| match field {
        LimitValue::Limited(most) => Some(most),
        LimitValue::Unlimited => None,
    });
    numbers
        .min()
        .map_or(LimitValue::Unlimited, LimitValue::Limited)
}

/// The limits of the demo. Honest requests always have enough memory at medium priority, which may
/// use 60 % of the limit; the claims of a hoarding address do not.
fn demo_limits(system: u64, transient: u64, per_peer: u64) -> Limits {
    let connections = |most: u64, memory: u64| Limit {
        conns_inbound: most.into(),
        memory: memory.into(),
        ..Limit::UNLIMITED
    };
    Limits {
        system: Limit {
            fd: system.into(),
            ..connections(system, system * 3 * REQUEST)
        },
        transient: connections(transient, transient * REQUEST),
        service_default: Some(connections(system, system * 5 * REQUEST / 2)),
        peer_default: connections(per_peer, per_peer * 2 * REQUEST),
        conn: Limit {
            fd: 1.into(),
            ..connections(1, 8 * REQUEST)
        },
        ..Limits::unlimited()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        let arguments = [&["demo"], arguments].concat();
        Arguments::try_parse_from(arguments).unwrap().options
    }

    fn planned(options: &Options, connections: u64) -> Plan {
        Plan::new(options, &PartialLimits::default(), connections)
    }

    #[test]
    fn the_default_plan_holds_two_thousand_connections_at_once() {
        let plan = Plan::within(&options(&[]), &PartialLimits::default(), 20_000).unwrap();
        assert_eq!(plan.connections, 2000);
        assert!(plan.fds() < 6000, "{} file descriptors", plan.fds());
        assert_eq!(plan.shares().map(|(_, share)| share).sum::<u64>(), 2000);
    }

    #[test]
    fn a_plan_shrinks_to_the_file_descriptors_there_are() {
        let options = options(&[]);
        for fds in [160, 256, 1024, 4096] {
            let plan = Plan::within(&options, &PartialLimits::default(), fds).unwrap();
            assert!(plan.fds() <= fds);
            assert!(plan.connections >= 1);
        }
        assert!(Plan::within(&options, &PartialLimits::default(), 40).is_none());
    }

    #[test]
    fn honest_clients_fit_into_the_limits() {
        for connections in [1, 7, 200, 2000] {
            let plan = planned(&options(&[]), connections);
            let most = |limit: &Limit| match most_connections(limit) {
                LimitValue::Limited(most) => most,
                LimitValue::Unlimited => u64::MAX,
            };
            let largest = plan.shares().map(|(_, share)| share).max().unwrap();
            assert!(largest <= most(&plan.limits.peer_default));
            assert!(connections <= most(&plan.limits.system));
            assert!(plan.honest_openings <= most(&plan.limits.transient));
        }
    }

    #[test]
    fn without_a_flood_there_are_no_flooded_stages() {
        let stages = |flooding| planned(&options(&["--flooding", flooding]), 10).flooded_stages();
        assert_eq!(stages("0"), []);
        assert_eq!(stages("2"), [Stage::OneHoards, Stage::OneIsSilent]);
        assert_eq!(stages("9").len(), 3);
    }

    #[test]
    fn settings_replace_the_demo_s_limits() {
        let settings = options(&["--limits", "System.Conns=3", "--limits", "peer.fd=2"]);
        let plan = planned(&settings, 10);
        assert_eq!(most_connections(&plan.limits.system), 3.into());
        assert_eq!(plan.limits.peer_default.fd, 2.into());
        assert_eq!(plan.machine, planned(&options(&[]), 10).machine);
    }
}
