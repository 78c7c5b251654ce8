//! Metrics for Prometheus: [`Observer`] is a collector of [`prometheus_client`].
//!
//! ```
//! use prometheus_client::encoding::text::encode;
//! use prometheus_client::registry::Registry;
//! use rcmgr_atomic::{Manager, Limits};
//! use rcmgr_metrics::Observer;
//!
//! let manager = Manager::new(Limits::unlimited())?;
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(Observer::new(manager)));
//!
//! let mut text = String::new();
//! encode(&mut text, &registry)?; // reads the manager
//! assert!(text.contains("\nlibp2p_rcmgr_fds{scope=\"system\"} 0\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Metrics of go-libp2p
//!
//! Names and labels are those of go-libp2p, so that its Grafana dashboard works. All of them are
//! gauges or histograms.
//!
//! | metric, after `libp2p_rcmgr_` | labels | meaning |
//! | --- | --- | --- |
//! | `connections` | `dir`, `scope` | connections of the system and the transient scope |
//! | `streams` | `dir`, `protocol`, `scope` | streams of these two, with an empty `protocol`, and of each protocol, with the `scope` `protocol` |
//! | `memory` | `protocol`, `scope` | memory of the same scopes as `streams`, in bytes |
//! | `fds` | `scope` | file descriptors of the system and the transient scope |
//! | `limit` | `resource`, `scope` | limits of these two scopes; an unlimited resource has no series |
//! | `blocked_resources` | `dir`, `resource`, `scope` | number of refusals, by the class of the scope |
//! | `peer_connections`, `peer_streams` | `dir` | histograms: peers by their connections and streams now |
//! | `peer_memory` | | histogram: peers by their memory now, in bytes |
//! | `conn_memory` | | histogram: open connections by their memory now, in bytes |
//! | `previous_peer_connections`, ... | the same | always empty |
//!
//! Differences to go-libp2p:
//!
//! - `blocked_resources` counts requests, as the [replay](crate::replay) of a trace does. For
//!   memory, go-libp2p adds up the requested bytes instead; the replay has them as the refused
//!   memory of each class and scope. As in go-libp2p, a refused connection with a file descriptor
//!   counts under `connection` and `fd`, whichever limit was reached. `scope` is the class of the
//!   scope that refused: a refusal by `service:dht.peer:X` counts under `service`.
//! - The histograms show the current peers and connections that use the resource. go-libp2p counts
//!   every change, and the value before it under `previous_`; its dashboards show the difference.
//!   Here the histogram is this difference, and `previous_` is empty. The `rate` of these
//!   histograms has no meaning.
//! - `conn_memory_sum` is an estimate, because the engine only counts connections by bucket
//!   ([`ConnMemory`](rcmgr_atomic::ConnMemory)). Each connection counts as the middle of its
//!   bucket.
//!
//! # Additional metrics
//!
//! | metric, after `rcmgr_` | labels | meaning |
//! | --- | --- | --- |
//! | `used`, `peak`, `limit` | `scope`, `name`, `resource` | of system, transient, their allowlisted counterparts, and of each service and protocol by `name`; `used` and `peak` by direction, `limit` also for both directions together |
//! | `utilisation` | `scope`, `resource` | usage divided by the limit, the highest of all scopes of the class, peers included |
//! | `scopes` | `scope` | number of live services, protocols, peers, and peers' shares |
//! | `over_releases_total` | `scope` | releases of more than was held |
//! | `waiting`, `waiting_amount`, `waiting_longest_seconds` | `scope`, `resource` | requests that [wait](rcmgr_atomic::Manager::waiting) for room now, what they ask for together, and how long the first of them has waited; only where requests wait |
//! | `waits_total` | `scope` | requests that have begun to wait |
//! | `waits_ended_total` | `outcome`, `scope` | requests that no longer wait: `granted`, `refused`, or `given_up` because the future was dropped |
//! | `wait_seconds_total` | `scope` | the time that all ended waits took together |
//! | `address_refusals_total` | `limiter` | connections that the `rate` or the `subnet` limiter refused |
//! | `dry_run_refusals_total` | `dir`, `resource`, `scope` | requests that a [dry run](rcmgr_atomic::Builder::dry_run) would have refused, with the labels of `blocked_resources`, but under the missing resource only; if there is a dry run |
//! | `dry_run_address_refusals_total` | `limiter` | connections that a dry run would have refused by their address |
//! | `address_verifications_total` | | connections whose address should have been verified first: see [`verify_source_address`](rcmgr_atomic::address::Addresses::verify_source_address) |
//! | `address_tracked` | `limiter` | subnets that the limiters keep state for |
//! | `trace_operations_total` | `outcome` | operations that a trace's sink has `written` or `dropped`, if the observer has its [counters](Observer::trace) |
//! | `reloads_total`, `reload_failures_total`, `limits_file_bad` | | state of the limits file, if the observer has its [watcher](Observer::watcher) |
//!
//! The [counters of the program](Observer::program) have the names that the program gives them. Those of
//! `rcmgr guard` start with `rcmgr_guard_` and have the label `listener`: they are the fields of its
//! `Counts`.
//!
//! A `resource` is `memory`, `fd`, `conns_inbound`, `conns_outbound`, `conns` for both directions,
//! and the same for streams. `scope` is the class: see [`ScopeClass`](rcmgr_core::ScopeClass).
//!
//! # Names chosen by remotes
//!
//! Only the [most used](Observer::most_names) protocols and services have their own series. The
//! others are summed up in the series `other`, which has neither peak nor limit. At most 200
//! characters of a name are shown, with invisible characters escaped. Series whose names become
//! equal are added up.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::family::{Family, Kind, Value, families};
use crate::observer::Observer;
use crate::reading::Reading;

impl Collector for Observer {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = families(&Reading::of(self));
        families
            .iter()
            .try_for_each(|family| encode(family, &mut encoder))
    }
}

fn encode(family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut encoder = encoder.encode_descriptor(family.name, family.help, None, kind)?;
    for series in &family.series {
        if series.labels.is_empty() {
            // An empty set of labels would be written as `{}`.
            encode_value(&series.value, family.kind, &mut encoder)?;
        } else {
            let mut encoder = encoder.encode_family(&series.labels)?;
            encode_value(&series.value, family.kind, &mut encoder)?;
        }
    }
    Ok(())
}

fn encode_value(value: &Value, kind: Kind, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    match value {
        Value::Count(count) if kind == Kind::Counter => {
            encoder.encode_counter::<NoLabelSet, _, u64>(count, None)
        }
        Value::Part(part) if kind == Kind::Counter => {
            encoder.encode_counter::<NoLabelSet, _, u64>(part, None)
        }
        Value::Count(count) => encoder.encode_gauge(count),
        Value::Part(part) => encoder.encode_gauge(part),
        Value::Histogram(histogram) => {
            let buckets: Vec<_> = histogram.buckets().collect();
            encoder.encode_histogram::<NoLabelSet>(
                histogram.sum(),
                histogram.count(),
                &buckets,
                None,
            )
        }
    }
}
