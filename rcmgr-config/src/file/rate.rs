//! Interprets a rate of new connections: a number per second and a number at once.

use rcmgr_core::address::Rate;
use rcmgr_core::shown;

use super::mistakes::Mistakes;
use super::names::{bad, kind, path, unique, unknown};
use super::tree::{Entry, Value};
use super::value::{Field, NotWhole, exact_whole};
use crate::FileFormat;

/// The keys of a rate.
pub(super) const PER_SECOND: &str = "PerSecond";
pub(super) const BURST: &str = "Burst";

/// The rate that refuses every connection.
pub(super) const BLOCK_ALL: Rate = Rate {
    per_second: 0.0,
    burst: 0,
};

/// The value of a rate: `None` within for no limit. Mistakes in its table are added to `mistakes`
/// with their own lines, and the rate counts as not set.
pub(super) fn rate_value(
    entry: &Entry<'_>,
    within: &str,
    format: FileFormat,
    mistakes: &mut Mistakes,
) -> Field<Option<Rate>> {
    let fields = match &entry.value {
        Value::Table(fields) => fields,
        Value::Null => return Ok(None),
        Value::Integer(_, Some(0)) => return Ok(Some(Some(BLOCK_ALL))),
        Value::Text(text) => match text.trim() {
            "default" => return Ok(None),
            "unlimited" => return Ok(Some(None)),
            "blockAll" => return Ok(Some(Some(BLOCK_ALL))),
            other => return Err(format!("found {:?}; {}", shown(other), expected(format))),
        },
        other => {
            return Err(format!(
                "found {}; {}",
                kind(other, format),
                expected(format)
            ));
        }
    };
    let (mut per_second, mut burst) = (None, None);
    let mut good = true;
    for field in unique(fields, within, mistakes) {
        let path = path(within, &field.name);
        let read = match field.name.as_ref() {
            PER_SECOND => number(&field.value, format).map(|number| per_second = Some(number)),
            BURST => whole(&field.value, format).map(|whole| burst = Some(whole)),
            _ => {
                mistakes.add(unknown(field, &path, &[PER_SECOND, BURST]));
                continue;
            }
        };
        let read = read.map_err(|reason| bad(field, &path, reason));
        good &= mistakes.ok(read).is_some();
    }
    match (per_second, burst) {
        _ if !good => Ok(None),
        (Some(per_second), Some(burst)) => Ok(Some(Some(Rate { per_second, burst }))),
        (None, _) => Err(format!("{PER_SECOND} is missing")),
        (_, None) => Err(format!("{BURST} is missing")),
    }
}

fn expected(format: FileFormat) -> String {
    let table = format.table();
    format!(
        "expected {table} with {PER_SECOND} and {BURST}, \"unlimited\", \"blockAll\" or \"default\""
    )
}

/// A number of connections per second.
fn number(value: &Value<'_>, format: FileFormat) -> Result<f64, String> {
    let (text, whole) = match value {
        Value::Integer(text, whole) => (text.trim(), *whole),
        Value::Float(text) | Value::Text(text) => (text.trim(), None),
        other => {
            let found = kind(other, format);
            return Err(format!("expected a number of connections, found {found}"));
        }
    };
    let number = text.parse().ok();
    // A TOML integer can have another base.
    let number = number.or(whole.map(|whole| whole as f64));
    let number = number.ok_or_else(|| {
        let text = shown(text);
        format!("expected a number of connections, found {text:?}")
    })?;
    match number {
        number if number < 0.0 => Err(format!("{} is negative", shown(text))),
        number if !f64::is_finite(number) => Err(format!("{} is not finite", shown(text))),
        number => Ok(number),
    }
}

/// A number of connections at once.
fn whole(value: &Value<'_>, format: FileFormat) -> Result<u32, String> {
    let (text, whole) = match value {
        Value::Integer(text, Some(whole)) => (text, Ok(*whole)),
        Value::Integer(text, None) | Value::Float(text) | Value::Text(text) => {
            (text, exact_whole(text.trim()))
        }
        other => {
            let found = kind(other, format);
            return Err(format!("expected a number of connections, found {found}"));
        }
    };
    let fits = |whole| u32::try_from(whole).map_err(|_| NotWhole::TooLarge);
    whole.and_then(fits).map_err(|error| match error {
        NotWhole::TooLarge => {
            let text = shown(text);
            format!("{text} is too large; the largest burst is 2^32 - 1")
        }
        error => error.reason(text, "expected a number of connections"),
    })
}
