//! Checks that dashboards only use existing metrics, labels and values of labels.

#![cfg(feature = "prometheus")]

mod exposition;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use exposition::Exposition;
use rcmgr_atomic::{Direction, Endpoint, Limit, Limits, Manager, UsesFd};
use rcmgr_config::reload::LimitsWatcher;
use rcmgr_metrics::Observer;
use serde_json::Value;

/// The labels that a Prometheus server adds to every series.
const OF_THE_TARGET: [&str; 2] = ["instance", "job"];

/// The queries of go-libp2p's dashboard: each metric, the labels that it selects or names series
/// by, and the values that it selects.
const REFERENCE: [&str; 17] = [
    r#"libp2p_rcmgr_blocked_resources{instance=~"x"}"#,
    r#"libp2p_rcmgr_streams{scope="system",instance=~"x"} {{dir}}"#,
    r#"libp2p_rcmgr_streams{scope="transient",instance=~"x"} {{dir}}"#,
    r#"libp2p_rcmgr_streams{scope="protocol",instance=~"x"} {{dir}} {{protocol}}"#,
    r#"libp2p_rcmgr_peer_streams_bucket{dir="inbound",instance=~"x"} {{le}}"#,
    r#"libp2p_rcmgr_previous_peer_streams_bucket{dir="outbound",instance=~"x"} {{le}}"#,
    r#"libp2p_rcmgr_connections{scope="system",instance=~"x"} {{dir}}"#,
    r#"libp2p_rcmgr_connections{scope="transient",instance=~"x"} {{dir}}"#,
    r#"libp2p_rcmgr_peer_connections_bucket{dir="inbound",instance=~"x"} {{le}}"#,
    r#"libp2p_rcmgr_previous_peer_connections_bucket{dir="outbound",instance=~"x"} {{le}}"#,
    r#"libp2p_rcmgr_memory{scope="system",instance=~"x"}"#,
    r#"libp2p_rcmgr_memory{scope="protocol",instance=~"x"} {{protocol}}"#,
    r#"libp2p_rcmgr_peer_memory_bucket{instance=~"x"} {{le}}"#,
    r#"libp2p_rcmgr_previous_peer_memory_bucket{instance=~"x"} {{le}}"#,
    r#"libp2p_rcmgr_peer_memory_count{instance=~"x"}"#,
    r#"libp2p_rcmgr_previous_peer_memory_count{instance=~"x"}"#,
    r#"libp2p_rcmgr_fds{instance=~"x"} {{scope}}"#,
];

/// The exposition of a manager that uses every resource.
fn shown() -> Exposition {
    let mut limits = Limits::unlimited();
    limits.system = Limit::all(10.into());
    limits.system.memory = 1000.into();
    limits.transient = limits.system;
    let manager = Manager::new(limits.clone()).unwrap();
    let stream = manager
        .open_stream(&"a".parse().unwrap(), Direction::Inbound)
        .unwrap();
    stream.set_protocol("/x").unwrap();
    stream.set_service("dht").unwrap();
    let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let held: Vec<_> = std::iter::from_fn(|| open().ok()).collect();
    assert_eq!(held.len(), 10, "the last one was refused");

    // One more waits.
    let mut next = pin!(manager.open_connection_when_available(
        Direction::Inbound,
        UsesFd::Yes,
        Endpoint::None
    ));
    let mut task = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut task).is_pending());

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits.toml");
    std::fs::write(&file, "[System]\nConns = 5\n").unwrap();
    let watcher = LimitsWatcher::start(&file, limits, |_| ()).unwrap();
    Exposition::of(&Observer::new(manager).watcher(Arc::new(watcher)))
}

/// A metric of a query.
#[derive(Debug, Default)]
struct Asked {
    metric: String,
    /// Name, operator, value.
    matchers: Vec<(String, String, String)>,
}

/// The metrics of a PromQL query, and the labels that it groups by. The parser only supports these
/// queries: a metric is a name that is neither a function nor a keyword.
fn asked(query: &str) -> (Vec<Asked>, Vec<String>) {
    let (mut metrics, mut grouped) = (Vec::new(), Vec::new());
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "_:$.".contains(c)));
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if c.is_ascii_alphabetic() {
            let next = behind.trim_start();
            rest = behind;
            if matches!(word, "by" | "without") {
                let list = next.strip_prefix('(').expect("labels in parentheses");
                let (list, after) = list.split_once(')').expect("they end");
                grouped.extend(list.split(',').map(|label| label.trim().to_owned()));
                rest = after;
            } else if let Some(inside) = next.strip_prefix('{') {
                let (inside, after) = inside.split_once('}').expect("matchers end");
                let metric = word.to_owned();
                let matchers = inside.split(',').map(matcher).collect();
                metrics.push(Asked { metric, matchers });
                rest = after;
            } else if !next.starts_with('(') && !next.starts_with("by") {
                let metric = word.to_owned();
                metrics.push(Asked {
                    metric,
                    ..Asked::default()
                });
            }
        } else if c == '[' {
            rest = rest.split_once(']').expect("a range ends").1;
        } else if word.is_empty() {
            rest = &rest[c.len_utf8()..];
        } else {
            rest = behind;
        }
    }
    (metrics, grouped)
}

fn matcher(text: &str) -> (String, String, String) {
    let at = text.find(['=', '!']).expect("an operator");
    let (label, rest) = text.split_at(at);
    let (operator, value) = rest.split_once('"').expect("a value in quotes");
    let value = value.strip_suffix('"').expect("which ends");
    (label.to_owned(), operator.to_owned(), value.to_owned())
}

/// The labels in `{{label}}`.
fn in_braces(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{")
        .skip(1)
        .map(|part| part.split_once("}}").expect("it ends").0)
}

/// The errors of a query and of its legend.
fn complaints(shown: &Exposition, query: &str, legend: &str) -> Vec<String> {
    let labels = shown.labels();
    let (metrics, grouped) = asked(query);
    let mut wrong = Vec::new();
    if metrics.is_empty() {
        wrong.push(format!("{query} asks for nothing"));
    }
    for Asked { metric, matchers } in metrics {
        let Some(has) = labels.get(&*metric) else {
            wrong.push(format!("there is no {metric}"));
            continue;
        };
        let known = |label: &str| has.contains(label) || OF_THE_TARGET.contains(&label);
        let named = in_braces(legend).map(str::to_owned);
        let used = matchers.iter().map(|(label, ..)| label.clone());
        for label in used.chain(grouped.clone()).chain(named) {
            if !known(&label) {
                wrong.push(format!("{metric} has no {label}"));
            }
            if !grouped.is_empty() && in_braces(legend).any(|l| !grouped.contains(&l.to_owned())) {
                wrong.push(format!("{legend} has what {query} sums up"));
            }
        }
        for (label, _, value) in &matchers {
            let values = shown.values(&metric, label);
            for value in value.split('|') {
                if has.contains(&**label) && !values.contains(value) {
                    wrong.push(format!("{metric} has no {label} {value}"));
                }
            }
        }
    }
    wrong
}

fn objects<'a>(json: &'a Value, found: &mut Vec<&'a serde_json::Map<String, Value>>) {
    match json {
        Value::Object(object) => {
            found.push(object);
            object.values().for_each(|value| objects(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| objects(value, found)),
        _ => {}
    }
}

#[test]
fn our_dashboard_uses_only_existing_metrics() {
    let dashboard = include_str!("../dashboards/rcmgr.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let shown = shown();
    let mut all = Vec::new();
    objects(&dashboard, &mut all);
    let mut queries = 0;
    for target in all.iter().filter(|object| object.contains_key("expr")) {
        let query = target["expr"].as_str().unwrap();
        let legend = target["legendFormat"].as_str().unwrap();
        assert_eq!(complaints(&shown, query, legend), [""; 0], "{query}");
        queries += 1;
    }
    assert!(queries > 20, "{queries}");

    // The queries of variables have a metric and a label.
    for variable in all
        .iter()
        .filter(|object| object.contains_key("definition"))
    {
        let text = variable["definition"].as_str().unwrap();
        let inside = text.strip_prefix("label_values(").unwrap();
        let (metric, label) = inside.strip_suffix(')').unwrap().split_once(", ").unwrap();
        assert!(shown.labels().contains_key(metric), "{metric}");
        assert!(OF_THE_TARGET.contains(&label), "{label}");
        assert_eq!(variable["query"]["query"], text);
    }

    let panels = dashboard["panels"].as_array().unwrap();
    let ids = panels.iter().map(|panel| panel["id"].as_u64().unwrap());
    assert_eq!(
        ids.collect::<std::collections::BTreeSet<_>>().len(),
        panels.len()
    );
}

#[test]
fn the_reference_dashboard_finds_its_metrics() {
    let shown = shown();
    for query in REFERENCE {
        let (query, legend) = query.split_once("} ").unwrap_or((query, ""));
        let query = format!("{}}}", query.trim_end_matches('}'));
        assert_eq!(complaints(&shown, &query, legend), [""; 0], "{query}");
    }
}

#[test]
fn the_check_finds_queries_for_missing_metrics() {
    let shown = shown();
    let cases = [
        ("sum(rcmgr_use)", ""),
        ("rcmgr_used{class=\"system\"}", ""),
        ("rcmgr_used{scope=\"sistem\"}", ""),
        ("rcmgr_used{scope=~\"system|sistem\"}", ""),
        ("sum by (class) (rcmgr_used)", ""),
        ("sum by (scope) (rate(rcmgr_used[5m]))", "{{name}}"),
        (
            "rate(rcmgr_over_releases{scope=\"system\"}[$__rate_interval])",
            "",
        ),
        ("1 + 1", ""),
    ];
    for (query, legend) in cases {
        assert_ne!(complaints(&shown, query, legend), [""; 0], "{query}");
    }
    let fine = "histogram_quantile(0.5, sum by (le) (rate(libp2p_rcmgr_peer_memory_bucket[$__range]))) - 0.1";
    assert_eq!(complaints(&shown, fine, "{{le}}"), [""; 0]);
}
