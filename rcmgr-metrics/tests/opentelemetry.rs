//! The metrics that OpenTelemetry collects.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};
use rcmgr_atomic::{Clock, Direction, Endpoint, Limit, Limits, Manager, Priority, UsesFd};
use rcmgr_metrics::Observer;

/// The sum of the series of a metric that have this label.
fn collected(exporter: &InMemoryMetricExporter, metric: &str, of: (&str, &str)) -> Vec<f64> {
    let finished = exporter.get_finished_metrics().unwrap();
    let last = finished.last().unwrap();
    let metrics = last.scope_metrics().flat_map(|scope| scope.metrics());
    let mut values = Vec::new();
    for found in metrics.filter(|found| found.name() == metric) {
        let mut add = |value: f64, mut labels: &mut dyn Iterator<Item = &KeyValue>| {
            // By reference, because an iterator of unknown size cannot be a receiver.
            if Iterator::any(&mut labels, |label| {
                (label.key.as_str(), &*label.value.as_str()) == of
            }) {
                values.push(value);
            }
        };
        match found.data() {
            AggregatedMetrics::U64(MetricData::Gauge(gauge)) => gauge
                .data_points()
                .for_each(|point| add(point.value() as f64, &mut point.attributes())),
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                assert!(sum.is_monotonic());
                sum.data_points()
                    .for_each(|point| add(point.value() as f64, &mut point.attributes()));
            }
            AggregatedMetrics::F64(MetricData::Gauge(gauge)) => gauge
                .data_points()
                .for_each(|point| add(point.value(), &mut point.attributes())),
            AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                assert!(sum.is_monotonic());
                sum.data_points()
                    .for_each(|point| add(point.value(), &mut point.attributes()));
            }
            other => panic!("{metric} is {other:?}"),
        }
    }
    values
}

/// The metrics of a manager, with what collects them.
fn registered(manager: &Manager) -> (InMemoryMetricExporter, SdkMeterProvider) {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(exporter.clone())
        .build();
    rcmgr_metrics::opentelemetry::register(
        Observer::new(manager.clone()),
        &provider.meter("rcmgr"),
    );
    (exporter, provider)
}

#[test]
fn each_collection_reads_the_manager_again() {
    let mut limits = Limits::unlimited();
    limits.system.memory = 10_000.into();
    let manager = Manager::new(limits).unwrap();
    let (exporter, provider) = registered(&manager);

    let held = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    let held = held.unwrap();
    held.reserve_memory(2000, Priority::Always).unwrap();
    let system = manager.view_system();
    for memory in [250, 500] {
        system.reserve_memory(250, Priority::Always).unwrap();
        provider.force_flush().unwrap();
        let of_system = ("scope", "system");
        let found = |metric| collected(&exporter, metric, of_system);
        assert_eq!(found("libp2p_rcmgr_memory"), [f64::from(2000 + memory)]);
        let part = f64::from(2000 + memory) / 10_000.0;
        assert_eq!(found("rcmgr_utilisation"), [part]);
        assert_eq!(found("rcmgr_limit"), [10_000.0]);
        assert_eq!(found("rcmgr_over_releases"), [0.0]);
        let memory_of_conns = |part: &str, of| {
            let metric = format!("libp2p_rcmgr_conn_memory_{part}");
            collected(&exporter, &metric, of)
        };
        assert_eq!(memory_of_conns("bucket", ("le", "1024")), [0.0]);
        assert_eq!(memory_of_conns("bucket", ("le", "4096")), [1.0]);
        assert_eq!(memory_of_conns("bucket", ("le", "+Inf")), [1.0]);
        let streams = |part: &str| {
            let metric = format!("libp2p_rcmgr_peer_streams_{part}");
            collected(&exporter, &metric, ("dir", "inbound"))
        };
        assert_eq!(streams("bucket"), [0.0; 16]);
        assert_eq!((streams("count"), streams("sum")), (vec![0.0], vec![0.0]));
    }
    provider.shutdown().unwrap();
}

#[test]
fn a_dry_run_that_begins_later_is_collected_and_one_that_ends_delays_nothing() {
    let enforced = Limits::unlimited();
    let mut evaluated = enforced.clone();
    evaluated.dry_run = Some(Arc::new(Limits {
        system: Limit::BLOCK_ALL,
        ..Limits::unlimited()
    }));
    let manager = Manager::new(enforced.clone()).unwrap();
    let (exporter, provider) = registered(&manager);
    let system = manager.view_system();
    let mut held = 0.0;
    for limits in [&enforced, &evaluated, &enforced, &enforced] {
        manager.set_limits(limits.clone());
        exporter.reset();
        system.reserve_memory(100, Priority::Always).unwrap();
        held += 100.0;
        provider.force_flush().unwrap();
        let found = |metric| collected(&exporter, metric, ("scope", "system"));
        // Each collection has what is held now, not what was held at the collection before.
        assert_eq!(found("libp2p_rcmgr_memory"), [held]);
        assert_eq!(found("rcmgr_over_releases"), [0.0]);
        let would_be_refused = found("rcmgr_dry_run_refusals");
        assert_eq!(would_be_refused.is_empty(), limits.dry_run.is_none());
    }
    provider.shutdown().unwrap();
}

/// A clock that the test sets.
#[derive(Debug, Default)]
struct Seconds(AtomicU64);

impl Clock for Seconds {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn requests_that_wait_and_the_time_of_ended_waits_are_collected() {
    let mut limits = Limits::unlimited();
    limits.system.memory = 100.into();
    let clock = Arc::new(Seconds::default());
    let builder = Manager::builder().limits(limits).clock(clock.clone());
    let manager = builder.build().unwrap();
    let (exporter, provider) = registered(&manager);
    let of_system = ("scope", "system");
    let collect = |metric| {
        provider.force_flush().unwrap();
        collected(&exporter, metric, of_system)
    };

    let system = manager.view_system();
    let held = system.reserve(100_u64, Priority::Always).unwrap();
    let mut waiting = Box::pin(system.reserve_when_available(40_u64, Priority::Always));
    let mut task = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut task).is_pending());
    assert_eq!(collect("rcmgr_waiting"), [1.0]);
    assert_eq!(collect("rcmgr_waiting_amount"), [40.0]);
    assert_eq!(collect("rcmgr_waits"), [1.0]);
    assert_eq!(collect("rcmgr_waiting_longest_seconds"), [0.0]);
    assert_eq!(collect("rcmgr_wait_seconds"), [0.0]);

    clock.0.store(3, Ordering::Relaxed);
    assert_eq!(collect("rcmgr_waiting_longest_seconds"), [3.0]);
    drop(waiting);
    assert_eq!(collect("rcmgr_waiting"), [0.0; 0]);
    assert_eq!(collect("rcmgr_waits_ended").iter().sum::<f64>(), 1.0);
    assert_eq!(collect("rcmgr_wait_seconds"), [3.0]);
    drop(held);
    provider.shutdown().unwrap();
}
