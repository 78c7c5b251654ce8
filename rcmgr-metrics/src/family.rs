//! The metrics, whoever reads them: their names, their labels, and what they are made of.

mod own;
mod reference;

use std::borrow::Cow;

use rcmgr_core::{LimitValue, Resource};

use crate::histogram::Histogram;
use crate::reading::{Reading, Shown};

/// A metric and its series.
#[derive(Debug)]
pub(crate) struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[cfg(feature = "opentelemetry")]
impl Family {
    /// Whether its values are parts of a whole, also where there is none now.
    pub(crate) fn is_of_parts(&self) -> bool {
        self.name == own::UTILISATION
    }
}

pub(crate) type Labels = Vec<(&'static str, Cow<'static, str>)>;

#[derive(Debug)]
pub(crate) struct Series {
    pub labels: Labels,
    pub value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Count(u64),
    Part(f64),
    Histogram(Histogram),
}

/// All of them: first those of go-libp2p, then our own.
pub(crate) fn families(reading: &Reading) -> Vec<Family> {
    let mut families = reference::families(reading);
    families.extend(own::families(reading));
    families
}

/// A series for each limit of a scope that is a number.
fn limits(scope: &Shown, labels: impl Fn(&'static str) -> Labels) -> Vec<Series> {
    let Some(limit) = scope.limit else {
        return Vec::new();
    };
    let of = |resource| match limit.get(resource) {
        LimitValue::Limited(most) => Some(Series {
            labels: labels(resource_name(resource)),
            value: Value::Count(most),
        }),
        LimitValue::Unlimited => None,
    };
    Resource::ALL.into_iter().filter_map(of).collect()
}

/// The name in metrics, where go-libp2p has no dashes.
const fn resource_name(resource: Resource) -> &'static str {
    match resource {
        Resource::Memory => "memory",
        Resource::Fd => "fd",
        Resource::Streams => "streams",
        Resource::StreamsInbound => "streams_inbound",
        Resource::StreamsOutbound => "streams_outbound",
        Resource::Conns => "conns",
        Resource::ConnsInbound => "conns_inbound",
        Resource::ConnsOutbound => "conns_outbound",
    }
}

fn count<const N: usize>(labels: [(&'static str, &'static str); N], value: u64) -> Series {
    Series {
        labels: labels.map(|(name, value)| (name, value.into())).into(),
        value: Value::Count(value),
    }
}
