//! The metrics, whoever reads them: their names, their labels, and what they are made of.

mod metric;
mod own;
mod reference;

use crate::reading::Reading;

pub(crate) use metric::Family;
#[cfg(any(feature = "prometheus", feature = "opentelemetry"))]
pub(crate) use metric::{Kind, Value};
#[cfg(feature = "opentelemetry")]
pub(crate) use metric::{Labels, Series};

#[cfg(feature = "opentelemetry")]
impl Family {
    /// Whether its values are parts of a whole, also where there is none now.
    pub(crate) fn is_of_parts(&self) -> bool {
        self.name == own::UTILISATION
    }
}

/// All of them: first those of go-libp2p, then our own.
pub(crate) fn families(reading: &Reading) -> Vec<Family> {
    let mut families = reference::families(reading);
    families.extend(own::families(reading));
    families
}
