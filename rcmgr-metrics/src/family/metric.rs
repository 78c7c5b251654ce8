//! A metric in the form that all exporters read.

use std::borrow::Cow;

use rcmgr_core::Resource;

use crate::histogram::Histogram;
use crate::reading::Shown;

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

/// A series for each finite limit of a scope.
pub(super) fn limits(scope: &Shown, labels: impl Fn(&'static str) -> Labels) -> Vec<Series> {
    let Some(limit) = scope.limit else {
        return Vec::new();
    };
    let of = |resource| {
        let most = limit.get(resource).number()?;
        Some(Series {
            labels: labels(resource_name(resource)),
            value: Value::Count(most),
        })
    };
    Resource::ALL.into_iter().filter_map(of).collect()
}

/// The name in metrics: with underscores, as in go-libp2p.
pub(super) const fn resource_name(resource: Resource) -> &'static str {
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

pub(super) fn count<const N: usize>(
    labels: [(&'static str, &'static str); N],
    value: u64,
) -> Series {
    Series {
        labels: labels.map(|(name, value)| (name, value.into())).into(),
        value: Value::Count(value),
    }
}
