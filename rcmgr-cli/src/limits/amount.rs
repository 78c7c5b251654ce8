//! Formats limits for people.

use rcmgr_atomic::{GIB, KIB, LimitValue, MIB, Resource, shown};
use rcmgr_config::ByteSize;

const UNITS: [(u64, &str); 3] = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];

/// A limit, exact: memory with a unit, other resources as a count.
pub fn limit(resource: Resource, value: LimitValue) -> String {
    match value.number() {
        Some(number) => amount(resource, number),
        None => value.to_string(),
    }
}

/// An amount of a resource, exact.
pub fn amount(resource: Resource, value: u64) -> String {
    match resource {
        Resource::Memory => size(value),
        _ => value.to_string(),
    }
}

/// Bytes in the largest unit that is exact with three decimals, so that the text can be copied into
/// a file: `1.125 GiB`, but `16777220 B`.
pub fn size(bytes: u64) -> String {
    let unit = UNITS.into_iter().find(|unit| is_exact(bytes, *unit));
    unit.map_or_else(|| ByteSize(bytes).to_string(), |unit| in_unit(bytes, unit))
}

/// Bytes in the largest unit that is not larger: exact with up to three decimals, otherwise
/// rounded, with a `~`.
pub fn short_size(bytes: u64) -> String {
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some(unit) if !is_exact(bytes, unit) => format!("~{:.1}", ByteSize(bytes)),
        Some(unit) => in_unit(bytes, unit),
        None => ByteSize(bytes).to_string(),
    }
}

fn is_exact(bytes: u64, (unit, _): (u64, &str)) -> bool {
    bytes >= unit && (u128::from(bytes) * 1000).is_multiple_of(unit.into())
}

fn in_unit(bytes: u64, (unit, name): (u64, &str)) -> String {
    let thousandths = u128::from(bytes) * 1000 / u128::from(unit);
    let number = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let number = number.trim_end_matches('0').trim_end_matches('.');
    format!("{number} {name}")
}

/// A name without invisible characters, which could move the cursor or end a line. Names come from
/// files.
pub fn printable(name: &str) -> String {
    format!("{:.1000}", shown(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_exact_whatever_its_unit() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (16 * MIB + 4, "16777220 B"),
            (160 * MIB + 896 * KIB, "160.875 MiB"),
            (16 * MIB + 4 * KIB, "16388 KiB"),
            (1152 * MIB, "1.125 GiB"),
            (10 * GIB, "10 GiB"),
            (u64::MAX, "18446744073709551615 B"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn a_rounded_short_size_is_marked() {
        let cases = [
            (7, "7 B"),
            (1536, "1.5 KiB"),
            (1152 * MIB, "1.125 GiB"),
            (16 * MIB + 4, "~16.0 MiB"),
            (80_530_636, "~76.8 MiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(short_size(bytes), text);
        }
    }
}
