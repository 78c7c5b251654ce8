//! The metrics, independent of the exporter: names, labels and values.

mod metric;
mod own;
mod program;
mod reference;
mod waiting;

use crate::reading::Reading;

pub(crate) use metric::Family;
#[cfg(any(feature = "prometheus", feature = "opentelemetry"))]
pub(crate) use metric::{Kind, Value};
#[cfg(feature = "opentelemetry")]
pub(crate) use metric::{Labels, Series};

#[cfg(feature = "opentelemetry")]
impl Family {
    /// Whether the values are fractions, even if there is no value now.
    pub(crate) fn is_of_parts(&self) -> bool {
        self.name == own::UTILISATION || waiting::OF_PARTS.contains(&self.name)
    }
}

/// All metrics: first those of go-libp2p, then our own, then those of the program.
pub(crate) fn families(reading: &Reading) -> Vec<Family> {
    let mut families = reference::families(reading);
    families.extend(own::families(reading));
    families.extend(waiting::families(reading));
    families.extend(program::families(reading));
    families
}

/// All metrics, including those of a dry run when there is none: these have no series. An exporter of
/// OpenTelemetry must know all metrics at its start.
#[cfg(feature = "opentelemetry")]
pub(crate) fn families_of_any_time(reading: &Reading) -> Vec<Family> {
    let mut families = families(reading);
    if reading.dry_run.is_none() {
        families.extend(own::of_dry_run(None));
    }
    families
}
