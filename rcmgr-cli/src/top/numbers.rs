//! Rounds numbers for the screen, by the rule that the page of the live view has too.
//!
//! Up to 9,999 a number is shown in full, above with three significant digits: `134k`. Sizes have
//! three significant digits from 1 KiB on. A rounded number is short, so no screen has to cut one.

use std::time::Duration;

use rcmgr_atomic::{KIB, Resource};

/// The largest number that is shown in full.
const LARGEST_IN_FULL: u64 = 9_999;
const THOUSANDS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A count: `9,999`, and `134k` for 133,564.
pub fn count(number: u64) -> String {
    match number {
        ..1000 => number.to_string(),
        1000..=LARGEST_IN_FULL => format!("{},{:03}", number / 1000, number % 1000),
        _ => {
            let (number, unit) = scaled(number, 1000, THOUSANDS);
            format!("{}{unit}", three_digits(number))
        }
    }
}

/// A size: `512 B`, `1.50 KiB`, `46.3 GiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        ..KIB => format!("{} B", count(bytes)),
        _ => {
            let (number, unit) = scaled(bytes, KIB, BINARY);
            format!("{} {unit}", three_digits(number))
        }
    }
}

/// An amount of a resource.
pub fn amount(resource: Resource, number: u64) -> String {
    match resource {
        Resource::Memory => size(number),
        _ => count(number),
    }
}

/// An amount of a resource and its limit, with the unit once if both have the same:
/// `1.46/16 MiB`.
pub fn amount_of(resource: Resource, used: u64, limit: u64) -> String {
    let [used, limit] = [used, limit].map(|number| amount(resource, number));
    match (used.split_once(' '), limit.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number}/{limit}"),
        _ => format!("{used}/{limit}"),
    }
}

/// A rate per second: `0/s`, `2.5/s`, `6,856/s`.
pub fn rate(rate: f64) -> String {
    match rate {
        ..=0.0 => "0/s".to_owned(),
        // A rate that is not zero is never shown as zero.
        ..0.05 => "<0.1/s".to_owned(),
        ..9.95 => format!("{rate:.1}/s"),
        _ => format!("{}/s", count(rate.round() as u64)),
    }
}

/// A utilisation as a percentage, rounded down below the limit: it never shows 100 % too early.
pub fn percent(part: f64) -> String {
    let percent = match part {
        // A float may be a little less than the number that it stands for: 57 of 100 is 57 %.
        ..1.0 => (part * 100.0 + 1e-9).floor().clamp(0.0, 99.0),
        _ => (part * 100.0).round(),
    };
    match percent {
        // The limit was lowered far below the usage.
        10_000.0.. => ">9999%".to_owned(),
        percent => format!("{percent}%"),
    }
}

/// A time in its largest unit, rounded down.
pub fn since(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", count(seconds / 86_400)),
    }
}

/// A time with three significant digits under two minutes. It comes from a server, so it may be
/// anything.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        0.0005..120.0 => format!("{} s", three_digits(seconds)),
        // A time that is not zero is never shown as zero.
        0.0..0.0005 if seconds > 0.0 => "<0.001 s".to_owned(),
        _ => since(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
    }
}

/// The number in the largest unit that leaves at least one before the point.
fn scaled(number: u64, step: u64, units: [&'static str; 6]) -> (f64, &'static str) {
    let mut scaled = number as f64 / step as f64;
    let mut units = units.into_iter();
    let mut unit = units.next().unwrap_or_default();
    // Four digits before the point are not shown: 999.5 becomes one of the next unit.
    while scaled >= 999.5 {
        let Some(next) = units.next() else { break };
        scaled /= step as f64;
        unit = next;
    }
    (scaled, unit)
}

/// Three significant digits, without decimals if the number is whole.
fn three_digits(number: f64) -> String {
    match number {
        _ if number.fract() == 0.0 => format!("{number:.0}"),
        ..0.9995 => format!("{number:.3}"),
        ..9.995 => format!("{number:.2}"),
        ..99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::{GIB, MIB};

    use super::*;

    #[test]
    fn a_count_under_ten_thousand_is_full_and_above_it_has_three_digits() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (9_999, "9,999"),
            (10_000, "10k"),
            (10_049, "10.0k"),
            (12_345, "12.3k"),
            (133_564, "134k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (1_234_567_890, "1.23G"),
            (u64::MAX, "18.4E"),
        ];
        for (number, text) in cases {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn a_size_has_three_digits_and_a_binary_unit() {
        let cases = [
            (0, "0 B"),
            (1023, "1,023 B"),
            (KIB, "1 KiB"),
            (1536, "1.50 KiB"),
            (10 * KIB + 100, "10.1 KiB"),
            (MIB - 1, "1.00 MiB"),
            (1023 * KIB, "0.999 MiB"),
            (512 * MIB, "512 MiB"),
            (47 * GIB + 300 * MIB, "47.3 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(
            amount_of(Resource::Memory, MIB + 1, 16 * MIB),
            "1.00/16 MiB"
        );
        assert_eq!(amount_of(Resource::Memory, 100, 16 * MIB), "100 B/16 MiB");
        assert_eq!(amount_of(Resource::Conns, 132_990, 133_000), "133k/133k");
    }

    #[test]
    fn a_rate_has_one_decimal_under_ten() {
        let cases = [
            (0.0, "0/s"),
            (0.04, "<0.1/s"),
            (0.25, "0.2/s"),
            (9.94, "9.9/s"),
            (9.96, "10/s"),
            (1234.5, "1,235/s"),
            (13_000.0, "13k/s"),
            (f64::MAX, "18.4E/s"),
        ];
        for (number, text) in cases {
            assert_eq!(rate(number), text);
        }
    }

    #[test]
    fn a_time_has_three_digits_under_two_minutes() {
        let cases = [
            (0.0, "0 s"),
            (0.000_4, "<0.001 s"),
            (0.25, "0.250 s"),
            (2.5, "2.50 s"),
            (59.96, "60.0 s"),
            (7.0, "7 s"),
            (119.9, "120 s"),
            (120.0, "2 min"),
            (86_400.0, "24 h"),
            (-1.0, "0 s"),
            (f64::NAN, "0 s"),
            (f64::INFINITY, "0 s"),
        ];
        for (time, text) in cases {
            assert_eq!(seconds(time), text);
        }
    }

    #[test]
    fn a_nearly_reached_limit_is_not_shown_as_reached() {
        assert_eq!(percent(0.9999), "99%");
        assert_eq!(percent(0.005), "0%");
        assert_eq!(percent(0.57), "57%");
        assert_eq!(percent(99.996), ">9999%");
        assert_eq!(percent(1.0), "100%");
        assert_eq!(percent(1.5), "150%");
        assert_eq!(percent(1e300), ">9999%");
    }
}
