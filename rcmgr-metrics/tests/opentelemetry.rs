//! What OpenTelemetry collects.

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};
use rcmgr_atomic::{AtomicResourceManager, Limits, Priority, ResourceManager, ResourceScope};
use rcmgr_metrics::Observer;

/// The value of the series of a metric that have this as one of their labels.
fn collected(exporter: &InMemoryMetricExporter, metric: &str, of: (&str, &str)) -> Vec<f64> {
    let finished = exporter.get_finished_metrics().unwrap();
    let last = finished.last().unwrap();
    let metrics = last.scope_metrics().flat_map(|scope| scope.metrics());
    let mut values = Vec::new();
    for found in metrics.filter(|found| found.name() == metric) {
        let mut add = |value: f64, mut labels: &mut dyn Iterator<Item = &KeyValue>| {
            // By reference: an iterator of unknown size is no receiver.
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
            other => panic!("{metric} is {other:?}"),
        }
    }
    values
}

#[test]
fn each_collection_reads_the_manager_anew() {
    let mut limits = Limits::unlimited();
    limits.system.memory = 1000.into();
    let manager = AtomicResourceManager::new(limits).unwrap();
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(exporter.clone())
        .build();
    rcmgr_metrics::opentelemetry::register(
        Observer::new(manager.clone()),
        &provider.meter("rcmgr"),
    );

    let system = manager.view_system();
    for memory in [250, 500] {
        system.reserve_memory(250, Priority::Always).unwrap();
        provider.force_flush().unwrap();
        let of_system = ("scope", "system");
        let found = |metric| collected(&exporter, metric, of_system);
        assert_eq!(found("libp2p_rcmgr_memory"), [f64::from(memory)]);
        assert_eq!(found("rcmgr_utilisation"), [f64::from(memory) / 1000.0]);
        assert_eq!(found("rcmgr_limit"), [1000.0]);
        assert_eq!(found("rcmgr_mistakes"), [0.0]);
        let dir = ("dir", "inbound");
        assert_eq!(
            collected(&exporter, "libp2p_rcmgr_peer_streams", dir),
            [0.0; 0]
        );
    }
    provider.shutdown().unwrap();
}
