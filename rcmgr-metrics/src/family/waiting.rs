//! The metrics of requests that wait for room.

use std::collections::BTreeMap;
use std::time::Duration;

use rcmgr_atomic::{WaitTotals, Waiting};
use rcmgr_core::{Resource, ScopeClass};

use super::metric::{Family, Kind, Labels, Series, Value, count, resource_name};
use crate::reading::Reading;

const LONGEST: &str = "rcmgr_waiting_longest_seconds";
const SECONDS: &str = "rcmgr_wait_seconds";

/// The metrics of this module whose values are fractions.
#[cfg(feature = "opentelemetry")]
pub(super) const OF_PARTS: [&str; 2] = [LONGEST, SECONDS];

/// All metrics of this module.
pub(super) fn families(reading: &Reading) -> [Family; 6] {
    let [waiting, amount, longest] = now(&reading.waiting);
    let [begun, ended, seconds] = totals(&reading.wait_totals);
    [
        (
            "rcmgr_waiting",
            "Requests that wait for room",
            Kind::Gauge,
            waiting,
        ),
        (
            "rcmgr_waiting_amount",
            "Amount that waiting requests ask for: bytes of memory, otherwise a count",
            Kind::Gauge,
            amount,
        ),
        (
            LONGEST,
            "Time that the first of the waiting requests has waited",
            Kind::Gauge,
            longest,
        ),
        (
            "rcmgr_waits",
            "Requests that have begun to wait for room",
            Kind::Counter,
            begun,
        ),
        (
            "rcmgr_waits_ended",
            "Requests that no longer wait, by outcome",
            Kind::Counter,
            ended,
        ),
        (
            SECONDS,
            "Time that all ended waits took together",
            Kind::Counter,
            seconds,
        ),
    ]
    .map(|(name, help, kind, series)| Family {
        name,
        help,
        kind,
        series,
    })
}

/// The queues of all scopes of a class, for one resource.
#[derive(Debug, Default)]
struct Queues {
    requests: u64,
    amount: u64,
    longest: Duration,
}

/// Requests, amount, and the longest wait, by class and resource. Scopes have no series of their
/// own, because remotes choose how many scopes there are.
fn now(waiting: &[Waiting]) -> [Vec<Series>; 3] {
    let mut queues: BTreeMap<(ScopeClass, Resource), Queues> = BTreeMap::new();
    for one in waiting {
        let of_class = queues.entry((one.scope.class(), one.resource)).or_default();
        of_class.requests = of_class.requests.saturating_add(one.requests);
        of_class.amount = of_class.amount.saturating_add(one.amount);
        of_class.longest = of_class.longest.max(one.longest);
    }
    let values: [fn(&Queues) -> Value; 3] = [
        |queues| Value::Count(queues.requests),
        |queues| Value::Count(queues.amount),
        |queues| Value::Part(queues.longest.as_secs_f64()),
    ];
    values.map(|value| {
        let series = queues.iter().map(|((class, resource), queues)| Series {
            labels: vec![
                ("resource", resource_name(*resource).into()),
                ("scope", class.as_str().into()),
            ],
            value: value(queues),
        });
        series.collect()
    })
}

/// Begun waits, ended waits by outcome, and their time, of every class.
fn totals(totals: &[WaitTotals; ScopeClass::ALL.len()]) -> [Vec<Series>; 3] {
    let of_classes = ScopeClass::ALL.map(ScopeClass::as_str);
    let of_classes = of_classes.into_iter().zip(totals);
    let begun = of_classes.clone();
    let begun = begun.map(|(scope, totals)| count([("scope", scope)], totals.begun));
    let ended = of_classes.clone().flat_map(|(scope, totals)| {
        [
            ("given_up", totals.given_up),
            ("granted", totals.granted),
            ("refused", totals.refused),
        ]
        .map(|(outcome, ended)| count([("outcome", outcome), ("scope", scope)], ended))
    });
    let seconds = of_classes.map(|(scope, totals)| Series {
        labels: Labels::from([("scope", scope.into())]),
        value: Value::Part(totals.waited.as_secs_f64()),
    });
    [begun.collect(), ended.collect(), seconds.collect()]
}

#[cfg(test)]
mod tests {
    use rcmgr_core::{ScopeId, ScopeName};

    use super::*;

    fn waiting(scope: ScopeId, resource: Resource, amounts: [u64; 2], millis: u64) -> Waiting {
        Waiting {
            scope: ScopeName::from(scope),
            resource,
            requests: amounts[0],
            amount: amounts[1],
            longest: Duration::from_millis(millis),
        }
    }

    /// The series as text.
    fn shown(series: &[Series]) -> Vec<String> {
        let one = |series: &Series| {
            let labels = series.labels.iter().map(|(_, value)| &**value);
            let labels: Vec<_> = labels.collect();
            match &series.value {
                Value::Count(count) => format!("{} {count}", labels.join(" ")),
                Value::Part(part) => format!("{} {part}", labels.join(" ")),
                Value::Histogram(_) => unreachable!("there are no histograms"),
            }
        };
        series.iter().map(one).collect()
    }

    #[test]
    fn queues_are_summed_up_by_class_and_resource() {
        let peer = |name: &str| ScopeId::Peer(name.parse().unwrap());
        let queues = [
            waiting(peer("a"), Resource::Memory, [2, 8192], 1500),
            waiting(peer("b"), Resource::Memory, [1, u64::MAX], 200),
            waiting(peer("a"), Resource::StreamsInbound, [7, 7], 0),
            waiting(ScopeId::System, Resource::Conns, [3, 3], 60_000),
        ];
        let [requests, amounts, longest] = now(&queues);
        assert_eq!(
            shown(&requests),
            ["conns system 3", "memory peer 3", "streams_inbound peer 7"]
        );
        let amounts = shown(&amounts);
        assert_eq!(amounts[1], format!("memory peer {}", u64::MAX));
        assert_eq!(
            shown(&longest),
            [
                "conns system 60",
                "memory peer 1.5",
                "streams_inbound peer 0"
            ]
        );
    }

    #[test]
    fn every_class_has_totals_before_its_first_wait() {
        let none = WaitTotals {
            begun: 0,
            granted: 0,
            refused: 0,
            given_up: 0,
            waited: Duration::ZERO,
        };
        let mut totals = [none; ScopeClass::ALL.len()];
        totals[ScopeClass::Peer as usize] = WaitTotals {
            begun: 9,
            granted: 4,
            refused: 2,
            given_up: 1,
            waited: Duration::from_millis(2500),
        };
        let [begun, ended, seconds] = super::totals(&totals);
        let classes = ScopeClass::ALL.len();
        assert_eq!(
            [begun.len(), ended.len(), seconds.len()],
            [classes, 3 * classes, classes]
        );
        let shown: Vec<_> = [begun, ended, seconds]
            .iter()
            .flat_map(|of| shown(of))
            .collect();
        for series in [
            "peer 9",
            "given_up peer 1",
            "granted peer 4",
            "refused peer 2",
            "peer 2.5",
            "granted system 0",
        ] {
            assert!(
                shown.iter().any(|other| other == series),
                "{series} in {shown:?}"
            );
        }
    }
}
