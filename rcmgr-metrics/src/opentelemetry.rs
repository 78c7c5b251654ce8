//! The metrics as instruments of [`opentelemetry`], with the feature of that name.
//!
//! Names and labels are those of the [Prometheus](crate::prometheus) metrics, but counters have no
//! `_total`. OpenTelemetry has no observable histogram. So each histogram becomes the gauges that
//! Prometheus stores for it: `_bucket` by `le`, cumulative, `_count` and `_sum`. A Prometheus
//! server behind a collector receives the same series, so dashboards work.
//!
//! ```
//! use rcmgr_atomic::{Manager, Limits};
//! use rcmgr_metrics::Observer;
//!
//! let manager = Manager::new(Limits::unlimited())?;
//! let meter = opentelemetry::global::meter("rcmgr");
//! rcmgr_metrics::opentelemetry::register(Observer::new(manager), &meter);
//! # Ok::<(), rcmgr_atomic::Error>(())
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use crate::family::{Family, Kind, Labels, Series, Value, families_of_any_time};
use crate::observer::Observer;
use crate::reading::Reading;

/// Registers an instrument for each metric. A collection reads the manager once for all of them.
/// The instruments live as long as the meter's provider.
pub fn register(observer: Observer, meter: &Meter) {
    let now = readings(&observer);
    let source = Arc::new(Source {
        observer,
        read: Mutex::default(),
    });
    for reading in now {
        source.clone().register(reading, meter);
    }
}

/// The series of one instrument.
#[derive(Debug)]
struct Observed {
    name: Cow<'static, str>,
    help: &'static str,
    kind: Observes,
    series: Vec<Series>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observes {
    Counter,
    /// A counter of fractions.
    PartCounter,
    Gauge,
    /// A gauge of fractions.
    PartGauge,
}

fn readings(observer: &Observer) -> Vec<Observed> {
    let families = families_of_any_time(&Reading::of(observer)).into_iter();
    families.flat_map(observed).collect()
}

fn observed(family: Family) -> Vec<Observed> {
    let kind = match family.kind {
        Kind::Histogram => return of_histogram(family).into(),
        Kind::Counter if family.is_of_parts() => Observes::PartCounter,
        Kind::Counter => Observes::Counter,
        Kind::Gauge if family.is_of_parts() => Observes::PartGauge,
        Kind::Gauge => Observes::Gauge,
    };
    vec![Observed {
        name: family.name.into(),
        help: family.help,
        kind,
        series: family.series,
    }]
}

fn of_histogram(family: Family) -> [Observed; 3] {
    let part = |suffix, kind| Observed {
        name: format!("{}_{suffix}", family.name).into(),
        help: family.help,
        kind,
        series: Vec::new(),
    };
    let mut buckets = part("bucket", Observes::Gauge);
    let mut counts = part("count", Observes::Gauge);
    let mut sums = part("sum", Observes::PartGauge);
    for Series { labels, value } in family.series {
        let Value::Histogram(histogram) = value else {
            continue;
        };
        let mut up_to = 0;
        for (bound, count) in histogram.buckets() {
            up_to += count;
            let le = if bound.is_finite() {
                bound.to_string().into()
            } else {
                "+Inf".into()
            };
            let mut labels = labels.clone();
            labels.push(("le", le));
            let value = Value::Count(up_to);
            buckets.series.push(Series { labels, value });
        }
        counts.series.push(Series {
            labels: labels.clone(),
            value: Value::Count(histogram.count()),
        });
        sums.series.push(Series {
            labels,
            value: Value::Part(histogram.sum()),
        });
    }
    [buckets, counts, sums]
}

#[derive(Debug)]
struct Source {
    observer: Observer,
    /// The series that were read and not yet collected, by the name of the instrument.
    read: Mutex<BTreeMap<Cow<'static, str>, Vec<Series>>>,
}

impl Source {
    fn register(self: Arc<Self>, observed: Observed, meter: &Meter) {
        let Observed {
            name, help, kind, ..
        } = observed;
        let counts = {
            let (source, name) = (self.clone(), name.clone());
            move |to: &dyn AsyncInstrument<u64>| {
                for series in source.take(&name) {
                    if let Value::Count(count) = series.value {
                        to.observe(count, &attributes(series.labels));
                    }
                }
            }
        };
        let parts = {
            let name = name.clone();
            move |to: &dyn AsyncInstrument<f64>| {
                for series in self.take(&name) {
                    if let Value::Part(part) = series.value {
                        to.observe(part, &attributes(series.labels));
                    }
                }
            }
        };
        // The provider keeps the callback, so the instrument itself can be dropped.
        match kind {
            Observes::Counter => {
                let builder = meter.u64_observable_counter(name).with_description(help);
                builder.with_callback(counts).build();
            }
            Observes::PartCounter => {
                let builder = meter.f64_observable_counter(name).with_description(help);
                builder.with_callback(parts).build();
            }
            Observes::PartGauge => {
                let builder = meter.f64_observable_gauge(name).with_description(help);
                builder.with_callback(parts).build();
            }
            Observes::Gauge => {
                let builder = meter.u64_observable_gauge(name).with_description(help);
                builder.with_callback(counts).build();
            }
        }
    }

    /// Takes the series of an instrument. Each reading is used once: the first instrument of a
    /// collection finds none of its own, reads the manager again, and leaves the other series to
    /// the other instruments.
    fn take(&self, name: &str) -> Vec<Series> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let series = read.remove(name).or_else(|| {
            let readings = readings(&self.observer).into_iter();
            *read = readings.map(|one| (one.name, one.series)).collect();
            read.remove(name)
        });
        series.unwrap_or_default()
    }
}

fn attributes(labels: Labels) -> Vec<KeyValue> {
    let attribute = |(name, value): (_, Cow<'static, str>)| KeyValue::new(name, value);
    labels.into_iter().map(attribute).collect()
}
