//! The requests that wait for room, as JSON.

use rcmgr_atomic::{Manager, WaitTotals, Waiting};
use rcmgr_core::ScopeId;
use serde::Serialize;

use crate::label::LONGEST;

/// The number of queues that are listed.
const LISTED: usize = 20;

/// The requests that wait now, and the waits so far.
#[derive(Debug, Serialize)]
pub(super) struct Waits {
    /// The queues whose first request has waited longest.
    waiting: Vec<Queue>,
    /// The number of all queues.
    waiting_queues: usize,
    /// The number of requests in all queues.
    waiting_requests: u64,
    wait_totals: Totals,
}

/// The requests that wait for one resource of one scope.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Queue {
    /// The name as it is shown.
    scope: String,
    class: &'static str,
    resource: &'static str,
    requests: u64,
    /// Bytes for memory, a count for other resources.
    amount: u64,
    longest_seconds: f64,
}

/// The waits of all scopes so far.
#[derive(Debug, Default, Serialize)]
struct Totals {
    begun: u64,
    granted: u64,
    refused: u64,
    given_up: u64,
    /// The time that all ended waits took together.
    waited_seconds: f64,
}

/// The queues of a manager.
#[derive(Debug)]
pub(super) struct Queues {
    /// The longest wait first.
    waiting: Vec<Waiting>,
    totals: Totals,
}

impl Queues {
    pub fn of(manager: &Manager) -> Self {
        Self::new(manager.waiting(), &manager.wait_totals())
    }

    fn new(mut waiting: Vec<Waiting>, of_classes: &[WaitTotals]) -> Self {
        // The name and the resource break ties, so that equal queues keep their places.
        waiting.sort_by(|a, b| {
            let by_time = b.longest.cmp(&a.longest);
            by_time.then_with(|| (&a.scope, a.resource).cmp(&(&b.scope, b.resource)))
        });
        let mut totals = Totals::default();
        for of_class in of_classes {
            totals.begun += of_class.begun;
            totals.granted += of_class.granted;
            totals.refused += of_class.refused;
            totals.given_up += of_class.given_up;
            totals.waited_seconds += of_class.waited.as_secs_f64();
        }
        Self { waiting, totals }
    }

    /// The queues of a scope and of its spans.
    pub fn at(&self, scope: &ScopeId) -> Vec<Queue> {
        listed(self.waiting.iter().filter(|one| one.scope.scope == *scope))
    }

    pub fn all(self) -> Waits {
        let requests = self.waiting.iter().map(|queue| queue.requests);
        Waits {
            waiting: listed(self.waiting.iter()),
            waiting_queues: self.waiting.len(),
            waiting_requests: requests.fold(0, u64::saturating_add),
            wait_totals: self.totals,
        }
    }
}

fn listed<'a>(queues: impl Iterator<Item = &'a Waiting>) -> Vec<Queue> {
    let queue = |one: &Waiting| Queue {
        scope: format!("{:.LONGEST$}", one.scope),
        class: one.scope.class().as_str(),
        resource: one.resource.as_str(),
        requests: one.requests,
        amount: one.amount,
        longest_seconds: one.longest.as_secs_f64(),
    };
    queues.take(LISTED).map(queue).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcmgr_core::{Resource, ScopeName, SpanIds};
    use serde_json::json;

    use super::*;

    fn waiting(scope: ScopeId, seconds: u64) -> Waiting {
        Waiting {
            scope: scope.into(),
            resource: Resource::Memory,
            requests: 2,
            amount: 8192,
            longest: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn the_longest_waits_are_listed_and_all_are_counted() {
        let peer = |number: u64| ScopeId::Peer(format!("p{number}").parse().unwrap());
        let queues = (0..50).map(|number| waiting(peer(number), number));
        let waits = Queues::new(queues.collect(), &[]).all();
        let json = serde_json::to_value(&waits).unwrap();
        assert_eq!(json["waiting"].as_array().unwrap().len(), 20);
        let first = json!({"scope": "peer:p49", "class": "peer", "resource": "memory",
            "requests": 2, "amount": 8192, "longest_seconds": 49.0});
        assert_eq!(json["waiting"][0], first);
        assert_eq!(json["waiting"][19]["scope"], "peer:p30");
        assert_eq!(json["waiting_queues"], 50);
        assert_eq!(json["waiting_requests"], 100);
    }

    #[test]
    fn a_name_from_the_network_is_escaped_and_cut() {
        let hostile = format!("\u{1b}[2J{}", "x".repeat(1000));
        let queues = vec![waiting(ScopeId::Protocol(hostile.into()), 1)];
        let listed = &Queues::new(queues, &[]).all().waiting;
        assert!(listed[0].scope.starts_with("protocol:\\u{1b}[2Jx"));
        assert!(listed[0].scope.len() < 300, "{}", listed[0].scope);
    }

    #[test]
    fn a_scope_has_its_own_queues_and_those_of_its_spans() {
        let peer = ScopeId::Peer("a".parse().unwrap());
        let span = Waiting {
            scope: ScopeName {
                scope: peer.clone(),
                spans: SpanIds::NONE.child(1),
            },
            ..waiting(peer.clone(), 3)
        };
        let queues = vec![waiting(ScopeId::System, 9), waiting(peer.clone(), 1), span];
        let queues = Queues::new(queues, &[]);
        let names = |of: &ScopeId| -> Vec<_> {
            let queues = queues.at(of).into_iter();
            queues.map(|queue| (queue.scope, queue.class)).collect()
        };
        let of_peer = [
            ("peer:a.span-1".to_owned(), "span"),
            ("peer:a".to_owned(), "peer"),
        ];
        assert_eq!(names(&peer), of_peer);
        assert_eq!(names(&ScopeId::Transient), []);
    }

    #[test]
    fn the_totals_of_all_classes_are_summed_up() {
        let of_class = |number: u64| WaitTotals {
            begun: 10 * number,
            granted: 4 * number,
            refused: 3 * number,
            given_up: 2 * number,
            waited: Duration::from_millis(1500 * number),
        };
        let totals = [of_class(1), of_class(2)];
        let json = serde_json::to_value(Queues::new(Vec::new(), &totals).all()).unwrap();
        let expected = json!({"begun": 30, "granted": 12, "refused": 9, "given_up": 6,
            "waited_seconds": 4.5});
        assert_eq!(json["wait_totals"], expected);
        assert_eq!(
            (&json["waiting"], &json["waiting_queues"]),
            (&json!([]), &json!(0))
        );
    }
}
