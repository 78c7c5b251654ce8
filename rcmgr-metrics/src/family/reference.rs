//! The metrics of go-libp2p, with its names and labels.

use rcmgr_core::{Refusals, ScopeClass, ScopeStat};

use super::metric::{Family, Kind, Series, Value, count, limits};
use crate::histogram::{COUNTS, Histogram, SIZES};
use crate::reading::{Reading, Shown};

const IN: &str = "inbound";
const OUT: &str = "outbound";

/// All metrics of this module.
pub(super) fn families(reading: &Reading) -> Vec<Family> {
    // The scopes that go-libp2p has series for.
    let roots = || {
        let scopes = reading.scopes.iter();
        scopes.filter(|scope| matches!(scope.class, ScopeClass::System | ScopeClass::Transient))
    };
    let protocols = || {
        let scopes = reading.scopes.iter();
        scopes.filter(|scope| scope.class == ScopeClass::Protocol)
    };
    let gauge = |name, help, series| Family {
        name,
        help,
        kind: Kind::Gauge,
        series,
    };
    let mut families = vec![
        gauge(
            "libp2p_rcmgr_blocked_resources",
            "Refused requests, by the class of the scope that refused; a connection with a file descriptor counts under both",
            blocked(&reading.refusals),
        ),
        gauge(
            "libp2p_rcmgr_connections",
            "Connections",
            both(roots(), |dir, scope| Series {
                labels: vec![("dir", dir.into()), ("scope", scope.class.as_str().into())],
                value: Value::Count(by_direction(dir, conns(&scope.used))),
            }),
        ),
        gauge(
            "libp2p_rcmgr_fds",
            "File descriptors",
            roots()
                .map(|scope| count([("scope", scope.class.as_str())], scope.used.fd))
                .collect(),
        ),
        gauge("libp2p_rcmgr_limit", "Limits; unlimited has no series", {
            let labels = |scope: &Shown, resource: &'static str| {
                vec![
                    ("resource", resource.into()),
                    ("scope", scope.class.as_str().into()),
                ]
            };
            let limits = |scope| limits(scope, |resource| labels(scope, resource));
            roots().flat_map(limits).collect()
        }),
        gauge(
            "libp2p_rcmgr_memory",
            "Memory reserved, in bytes",
            roots()
                .chain(protocols())
                .map(|scope| Series {
                    labels: vec![
                        ("protocol", scope.name.clone().into()),
                        ("scope", scope.class.as_str().into()),
                    ],
                    value: Value::Count(scope.used.memory),
                })
                .collect(),
        ),
        gauge(
            "libp2p_rcmgr_streams",
            "Streams",
            both(roots().chain(protocols()), |dir, scope| Series {
                labels: vec![
                    ("dir", dir.into()),
                    ("protocol", scope.name.clone().into()),
                    ("scope", scope.class.as_str().into()),
                ],
                value: Value::Count(by_direction(dir, streams(&scope.used))),
            }),
        ),
    ];
    families.extend(histograms(reading));
    families
}

fn histograms(reading: &Reading) -> impl Iterator<Item = Family> {
    let peers = &reading.peers;
    let one = |histogram| Series {
        labels: Vec::new(),
        value: Value::Histogram(histogram),
    };
    let two = |inbound, outbound| {
        [(IN, inbound), (OUT, outbound)]
            .map(|(dir, histogram)| Series {
                labels: vec![("dir", dir.into())],
                value: Value::Histogram(histogram),
            })
            .into()
    };
    let none = || two(Histogram::new(COUNTS), Histogram::new(COUNTS));
    let families = [
        (
            "libp2p_rcmgr_conn_memory",
            "Connections by the bytes that they have reserved now",
            vec![one(reading.conn_memory.clone())],
        ),
        (
            "libp2p_rcmgr_peer_connections",
            "Peers by the number of their connections now",
            two(peers.conns_inbound.clone(), peers.conns_outbound.clone()),
        ),
        (
            "libp2p_rcmgr_peer_memory",
            "Peers by the bytes that they have reserved now",
            vec![one(peers.memory.clone())],
        ),
        (
            "libp2p_rcmgr_peer_streams",
            "Peers by the number of their streams now",
            two(
                peers.streams_inbound.clone(),
                peers.streams_outbound.clone(),
            ),
        ),
        (
            "libp2p_rcmgr_previous_conn_memory",
            "Always empty, because dashboards subtract it",
            vec![one(Histogram::new(SIZES))],
        ),
        (
            "libp2p_rcmgr_previous_peer_connections",
            "Always empty, because dashboards subtract it",
            none(),
        ),
        (
            "libp2p_rcmgr_previous_peer_memory",
            "Always empty, because dashboards subtract it",
            vec![one(Histogram::new(SIZES))],
        ),
        (
            "libp2p_rcmgr_previous_peer_streams",
            "Always empty, because dashboards subtract it",
            none(),
        ),
    ];
    families.into_iter().map(|(name, help, series)| Family {
        name,
        help,
        kind: Kind::Histogram,
        series,
    })
}

/// Refusals under go-libp2p's names of scopes and resources. It uses only the first part of a
/// scope's name. A refused connection with a file descriptor counts under both, whichever limit was
/// reached. Counters that are zero are left out.
fn blocked(refusals: &[(ScopeClass, Refusals)]) -> Vec<Series> {
    let name = |class| match class {
        ScopeClass::ServicePeer => ScopeClass::Service,
        ScopeClass::ProtocolPeer => ScopeClass::Protocol,
        other => other,
    };
    let mut series = Vec::new();
    for class in ScopeClass::ALL {
        let of_name = refusals.iter().filter(|&&(part, _)| name(part) == class);
        let sum: Refusals = of_name.map(|&(_, refusals)| refusals).sum();
        // The two are counted one after the other.
        let fd_inbound = sum.fd.saturating_sub(sum.fd_outbound);
        let counts = [
            ("", "fd", sum.fd + sum.conns_with_fd),
            ("", "memory", sum.memory),
            (IN, "connection", sum.conns_inbound + fd_inbound),
            (IN, "stream", sum.streams_inbound),
            (OUT, "connection", sum.conns_outbound + sum.fd_outbound),
            (OUT, "stream", sum.streams_outbound),
        ];
        let counts = counts.into_iter().filter(|&(.., refused)| refused > 0);
        series.extend(counts.map(|(dir, resource, refused)| {
            let scope = class.as_str();
            count(
                [("dir", dir), ("resource", resource), ("scope", scope)],
                refused,
            )
        }));
    }
    series
}

const fn conns(stat: &ScopeStat) -> [u64; 2] {
    [stat.conns_inbound, stat.conns_outbound]
}

const fn streams(stat: &ScopeStat) -> [u64; 2] {
    [stat.streams_inbound, stat.streams_outbound]
}

fn by_direction(dir: &str, [inbound, outbound]: [u64; 2]) -> u64 {
    if dir == IN { inbound } else { outbound }
}

/// Two series for each scope: inbound and outbound.
fn both<'a>(
    scopes: impl Iterator<Item = &'a Shown>,
    series: impl Fn(&'static str, &'a Shown) -> Series,
) -> Vec<Series> {
    scopes
        .flat_map(|scope| [series(IN, scope), series(OUT, scope)])
        .collect()
}
