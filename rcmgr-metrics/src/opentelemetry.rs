//! The metrics as instruments of [`opentelemetry`], by the feature of that name.
//!
//! They have the names and labels that [Prometheus](crate::prometheus) is shown; counters go without
//! `_total`. The histograms are left out: OpenTelemetry has none that can be read from elsewhere.
//!
//! ```
//! use rcmgr_atomic::{AtomicResourceManager, Limits};
//! use rcmgr_metrics::Observer;
//!
//! let manager = AtomicResourceManager::new(Limits::unlimited())?;
//! let meter = opentelemetry::global::meter("rcmgr");
//! rcmgr_metrics::opentelemetry::register(Observer::new(manager), &meter);
//! # Ok::<(), rcmgr_atomic::Error>(())
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use crate::Observer;
use crate::family::{Family, Kind, Series, Value, families};
use crate::reading::Reading;

/// Makes an instrument of each metric. They read the manager when they are collected, once for all
/// of them, and as long as the meter's provider is there.
pub fn register(observer: Observer, meter: &Meter) {
    let now = families(&Reading::of(&observer));
    let source = Arc::new(Source {
        observer,
        read: Mutex::default(),
    });
    for family in now {
        source.clone().register(&family, meter);
    }
}

#[derive(Debug)]
struct Source {
    observer: Observer,
    /// What was read and not yet collected, by name.
    read: Mutex<BTreeMap<&'static str, Family>>,
}

impl Source {
    fn register(self: Arc<Self>, family: &Family, meter: &Meter) {
        let Family {
            name, help, kind, ..
        } = *family;
        let counts = {
            let source = self.clone();
            move |to: &dyn AsyncInstrument<u64>| {
                for series in source.take(name) {
                    if let Value::Count(count) = series.value {
                        to.observe(count, &attributes(series.labels));
                    }
                }
            }
        };
        // The provider keeps what it calls; the instrument itself is not needed for it.
        match kind {
            Kind::Histogram => {}
            Kind::Counter => {
                let builder = meter.u64_observable_counter(name).with_description(help);
                builder.with_callback(counts).build();
            }
            Kind::Gauge if family.is_of_parts() => {
                let parts = move |to: &dyn AsyncInstrument<f64>| {
                    for series in self.take(name) {
                        if let Value::Part(part) = series.value {
                            to.observe(part, &attributes(series.labels));
                        }
                    }
                };
                let builder = meter.f64_observable_gauge(name).with_description(help);
                builder.with_callback(parts).build();
            }
            Kind::Gauge => {
                let builder = meter.u64_observable_gauge(name).with_description(help);
                builder.with_callback(counts).build();
            }
        }
    }

    /// The series of a family. Each reading is given away once: who finds nothing left of it has the
    /// manager read again, and leaves the rest to the others that are collected with it.
    fn take(&self, name: &'static str) -> Vec<Series> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let family = read.remove(name).or_else(|| {
            let families = families(&Reading::of(&self.observer)).into_iter();
            *read = families.map(|family| (family.name, family)).collect();
            read.remove(name)
        });
        family.map_or_else(Vec::new, |family| family.series)
    }
}

fn attributes(labels: crate::family::Labels) -> Vec<KeyValue> {
    let attribute = |(name, value): (_, std::borrow::Cow<'static, str>)| KeyValue::new(name, value);
    labels.into_iter().map(attribute).collect()
}
