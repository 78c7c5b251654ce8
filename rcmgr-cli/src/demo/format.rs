//! Formats numbers and tables for people.

use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use rcmgr_atomic::{KIB, LimitValue, MIB};

/// A count with thousands separators: `12,345`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit that is not larger.
pub fn bytes(size: u64) -> String {
    match size {
        0..KIB => format!("{size} B"),
        KIB..MIB => format!("{:.1} KiB", size as f64 / KIB as f64),
        _ => format!("{:.1} MiB", size as f64 / MIB as f64),
    }
}

/// Nanoseconds, microseconds, milliseconds or seconds.
pub fn duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

/// Usage and limit: `3 of 8`.
pub fn of_limit(used: u64, limit: LimitValue, show: fn(u64) -> String) -> String {
    match limit {
        LimitValue::Limited(limit) => format!("{} of {}", show(used), show(limit)),
        LimitValue::Unlimited => format!("{} of unlimited", show(used)),
    }
}

/// An empty table with names on the left and numbers on the right.
pub fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ];
        for (count, text) in cases {
            assert_eq!(grouped(count), text);
        }
    }

    #[test]
    fn sizes_and_times_have_a_fitting_unit() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(duration(Duration::from_nanos(999)), "999 ns");
        assert_eq!(duration(Duration::from_nanos(1500)), "1.5 µs");
        assert_eq!(duration(Duration::from_millis(25)), "25.0 ms");
        assert_eq!(duration(Duration::from_millis(2990)), "3.0 s");
    }
}
