//! The metrics of the program itself.

use super::metric::{Family, Kind, Series, Value};
use crate::label::shown;
use crate::reading::Reading;

/// A metric for each counter of the program.
pub(super) fn families(reading: &Reading) -> Vec<Family> {
    let Some((label, counters)) = &reading.program else {
        return Vec::new();
    };
    let family = |counter: &crate::ProgramCounter| Family {
        name: counter.metric,
        help: counter.help,
        kind: match counter.is_gauge {
            true => Kind::Gauge,
            false => Kind::Counter,
        },
        series: (counter.values.iter())
            .map(|(part, value)| Series {
                labels: vec![(*label, shown(part).into_owned().into())],
                value: Value::Count(*value),
            })
            .collect(),
    };
    counters.iter().map(family).collect()
}
