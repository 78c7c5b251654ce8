//! The metrics that go-libp2p does not have.

use rcmgr_core::{Refusals, Resource, ScopeClass, ScopeStat};

use super::metric::{Family, Kind, Series, Value, count, limits, resource_name};
use crate::reading::{DryRun, Reading, Shown};

/// Its values are fractions.
pub(super) const UTILISATION: &str = "rcmgr_utilisation";

/// All metrics of this module.
pub(super) fn families(reading: &Reading) -> Vec<Family> {
    let addresses = reading.addresses;
    let mut families = Vec::from(of_scopes(&reading.scopes));
    let mut family = |name, help, kind, series: Vec<Series>| {
        families.push(Family {
            name,
            help,
            kind,
            series,
        });
    };
    family(
        UTILISATION,
        "Usage divided by the limit, the highest of all scopes of a class; 1 is full",
        Kind::Gauge,
        utilisation(reading),
    );
    family(
        "rcmgr_scopes",
        "Number of live scopes",
        Kind::Gauge,
        by_scope(reading.live.iter().map(|(&class, &live)| (class, live))),
    );
    family(
        "rcmgr_over_releases",
        "Releases of more than was held",
        Kind::Counter,
        by_scope(reading.over_releases.iter().copied()),
    );
    family(
        "rcmgr_address_refusals",
        "Connections refused by their address",
        Kind::Counter,
        vec![
            count([("limiter", "rate")], addresses.refused_by_rate),
            count([("limiter", "subnet")], addresses.refused_by_subnet),
        ],
    );
    family(
        "rcmgr_address_verifications",
        "Connections whose address should have been verified first",
        Kind::Counter,
        vec![count([], addresses.verifications_asked)],
    );
    family(
        "rcmgr_address_tracked",
        "Subnets that a limiter keeps state for",
        Kind::Gauge,
        vec![
            count([("limiter", "rate")], addresses.tracked_buckets),
            count([("limiter", "subnet")], addresses.tracked_subnets),
        ],
    );
    if let Some(dry_run) = &reading.dry_run {
        for one in of_dry_run(Some(dry_run)) {
            family(one.name, one.help, one.kind, one.series);
        }
    }
    if let Some([written, dropped]) = reading.traced {
        family(
            "rcmgr_trace_operations",
            "Operations for a trace, by outcome",
            Kind::Counter,
            vec![
                count([("outcome", "dropped")], dropped),
                count([("outcome", "written")], written),
            ],
        );
    }
    if let Some(stats) = &reading.reloads {
        family(
            "rcmgr_reloads",
            "Applied changes of the limits file",
            Kind::Counter,
            vec![count([], stats.reloads)],
        );
        family(
            "rcmgr_reload_failures",
            "Times that the limits file was invalid",
            Kind::Counter,
            vec![count([], stats.failures)],
        );
        family(
            "rcmgr_limits_file_bad",
            "1 while the limits file is invalid and the older limits stay in force",
            Kind::Gauge,
            vec![count([], stats.error.is_some().into())],
        );
    }
    families
}

/// Usage, peak and limit, with the same labels.
fn of_scopes(scopes: &[Shown]) -> [Family; 3] {
    let labels = |scope: &Shown, resource: &'static str| {
        vec![
            ("name", scope.name.clone().into()),
            ("resource", resource.into()),
            ("scope", scope.class.as_str().into()),
        ]
    };
    let counters = |scope: &Shown, stat: &ScopeStat| {
        let counters = [
            (Resource::Memory, stat.memory),
            (Resource::Fd, stat.fd),
            (Resource::StreamsInbound, stat.streams_inbound),
            (Resource::StreamsOutbound, stat.streams_outbound),
            (Resource::ConnsInbound, stat.conns_inbound),
            (Resource::ConnsOutbound, stat.conns_outbound),
        ];
        counters.map(|(resource, amount)| Series {
            labels: labels(scope, resource_name(resource)),
            value: Value::Count(amount),
        })
    };
    let used = scopes.iter().flat_map(|scope| counters(scope, &scope.used));
    let peaks = scopes.iter().filter_map(|scope| {
        let peak = scope.peak.as_ref()?;
        Some(counters(scope, peak))
    });
    let limits = scopes
        .iter()
        .flat_map(|scope| limits(scope, |resource| labels(scope, resource)));
    [
        (
            "rcmgr_used",
            "Usage of a scope: bytes of memory, otherwise a count",
            used.collect(),
        ),
        (
            "rcmgr_peak",
            "Highest usage of a scope so far",
            peaks.flatten().collect(),
        ),
        (
            "rcmgr_limit",
            "Limit of a scope; unlimited has no series",
            limits.collect(),
        ),
    ]
    .map(|(name, help, series)| Family {
        name,
        help,
        kind: Kind::Gauge,
        series,
    })
}

/// What the limits of a dry run would have refused; without series if there is none.
pub(super) fn of_dry_run(dry_run: Option<&DryRun>) -> [Family; 2] {
    let refusals = dry_run.map(|dry_run| dry_run_refusals(&dry_run.refusals));
    let addresses = dry_run.and_then(|dry_run| dry_run.addresses);
    let of_addresses = addresses.map(|addresses| {
        vec![
            count([("limiter", "rate")], addresses.refused_by_rate),
            count([("limiter", "subnet")], addresses.refused_by_subnet),
        ]
    });
    [
        Family {
            name: "rcmgr_dry_run_refusals",
            help: "Requests that the limits of the dry run would have refused, by the class of the scope",
            kind: Kind::Counter,
            series: refusals.unwrap_or_default(),
        },
        Family {
            name: "rcmgr_dry_run_address_refusals",
            help: "Connections that the dry run would have refused by their address",
            kind: Kind::Counter,
            series: of_addresses.unwrap_or_default(),
        },
    ]
}

/// A series for each resource that a class refused. A connection counts under what is missing.
fn dry_run_refusals(refusals: &[(ScopeClass, Refusals)]) -> Vec<Series> {
    let of_class = |&(class, refusals): &(ScopeClass, Refusals)| {
        let counts = refusals.iter().filter(|&(_, refused)| refused > 0);
        counts.map(move |(resource, refused)| {
            let (dir, resource) = match resource {
                Resource::StreamsInbound => ("inbound", "stream"),
                Resource::StreamsOutbound => ("outbound", "stream"),
                Resource::ConnsInbound => ("inbound", "connection"),
                Resource::ConnsOutbound => ("outbound", "connection"),
                other => ("", resource_name(other)),
            };
            let scope = class.as_str();
            count(
                [("dir", dir), ("resource", resource), ("scope", scope)],
                refused,
            )
        })
    };
    refusals.iter().flat_map(of_class).collect()
}

fn by_scope(counts: impl IntoIterator<Item = (ScopeClass, u64)>) -> Vec<Series> {
    let series = |(class, amount): (ScopeClass, u64)| count([("scope", class.as_str())], amount);
    counts.into_iter().map(series).collect()
}

fn utilisation(reading: &Reading) -> Vec<Series> {
    let mut series = Vec::new();
    for (class, highest) in ScopeClass::ALL.iter().zip(&reading.utilisation) {
        for (resource, part) in Resource::ALL.into_iter().zip(highest) {
            series.extend(part.map(|part| Series {
                labels: vec![
                    ("resource", resource_name(resource).into()),
                    ("scope", class.as_str().into()),
                ],
                value: Value::Part(part),
            }));
        }
    }
    series
}
