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
//! encode(&mut text, &registry)?; // the manager is read now
//! assert!(text.contains("\nlibp2p_rcmgr_fds{scope=\"system\"} 0\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # As go-libp2p has them
//!
//! Names and labels are those of go-libp2p, so that its Grafana dashboard works. All are gauges or
//! histograms.
//!
//! | metric, behind `libp2p_rcmgr_` | labels | what it is |
//! | --- | --- | --- |
//! | `connections` | `dir`, `scope` | of the system and the transient scope |
//! | `streams` | `dir`, `protocol`, `scope` | of these two, with an empty `protocol`, and of each protocol, whose `scope` is `protocol` |
//! | `memory` | `protocol`, `scope` | as `streams`, in bytes |
//! | `fds` | `scope` | of the system and the transient scope |
//! | `limit` | `resource`, `scope` | of these two; where there is no limit, there is no series |
//! | `blocked_resources` | `dir`, `resource`, `scope` | how often a scope refused, by its class |
//! | `peer_connections`, `peer_streams` | `dir` | histograms: how many peers have so many now |
//! | `peer_memory` | | the same, by bytes |
//! | `conn_memory` | | histogram: how many open connections have so many bytes now |
//! | `previous_peer_connections`, ... | as those | always empty |
//!
//! What differs:
//!
//! - `blocked_resources` counts requests. Of memory go-libp2p adds up the bytes that were asked for;
//!   and a connection with a file descriptor that is refused for want of either counts there for
//!   both, here for what was missing. `scope` is the class of the scope that refused: one of
//!   `service:dht.peer:X` counts under `service`, as there.
//! - The histograms show the peers and connections that there are, and those alone that use something
//!   of it. There, each change is counted, and what there was before under `previous_`; the difference
//!   is what is shown. Here it is the same difference, with nothing to subtract. A `rate` of them means
//!   nothing.
//! - `conn_memory_sum` is an estimate: the engine counts connections by bucket, and no more
//!   ([`ConnMemory`](rcmgr_atomic::ConnMemory)). Each is taken to have what is in the middle of its
//!   bucket.
//!
//! # Our own
//!
//! | metric, behind `rcmgr_` | labels | what it is |
//! | --- | --- | --- |
//! | `used`, `peak`, `limit` | `scope`, `name`, `resource` | of system, transient, the allowlisted ones, and of each service and protocol by `name`; `used` and `peak` by direction, `limit` of both together too |
//! | `utilisation` | `scope`, `resource` | usage by limit, the highest of all scopes of that class, peers too |
//! | `scopes` | `scope` | how many there are: of services, protocols, peers, and peers' shares |
//! | `over_releases_total` | `scope` | releases of more than was held |
//! | `address_refusals_total` | `limiter` | connections that the `rate` or the `subnet` limiter refused |
//! | `address_tracked` | `limiter` | subnets that the limiters remember |
//! | `trace_operations_total` | outcome | what a trace's sink has `written`, and `dropped`, if the observer has its [counters](Observer::trace) |
//! | `reloads_total`, `reload_failures_total`, `limits_file_bad` | | of the limits file, if the observer has its [watcher](Observer::watcher) |
//!
//! A `resource` is `memory`, `fd`, `conns_inbound`, `conns_outbound`, `conns` for both, and
//! `streams_inbound` and so on. `scope` is the class, as [`ScopeClass`](rcmgr_core::ScopeClass) has
//! it.
//!
//! # Names that remotes make up
//!
//! Only the [most used](Observer::most_names) protocols and services have series of their own; the
//! others are one, `other`, which has neither peak nor limit. Of a name at most 200 bytes are shown, and
//! control characters as `�`; if that makes two the same, they are added up.

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
            // An empty set would be written as `{}`.
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
