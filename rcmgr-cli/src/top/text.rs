//! Formats text and numbers for the screen.

use rcmgr_atomic::{KIB, Resource};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::limits::amount::amount;

/// The text with invisible characters escaped, such as `\u{1b}`.
///
/// Remotes choose the names of scopes. Characters that move the cursor, set colours, change the
/// text direction or have no width could make a terminal show a wrong text. A backslash is doubled,
/// so that no name can look like an escaped one.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\'' => shown.push(char),
            _ if char.width() == Some(0) => shown.extend(char.escape_unicode()),
            _ => shown.extend(char.escape_debug()),
        }
    }
    shown
}

/// The text, if it fits into `width` columns, otherwise its beginning and a `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |char: &char| match left.checked_sub(char.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut shown: String = text.chars().take_while(fits).collect();
    if width > 0 {
        shown.push('…');
    }
    shown
}

/// An amount of a resource, exact.
pub fn exact(resource: Resource, value: u64) -> String {
    amount(resource, value)
}

/// An amount of a resource in few columns: memory in K, M, G and so on, which are powers of 1024;
/// other resources exact.
pub fn short(resource: Resource, value: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if resource != Resource::Memory {
        return value.to_string();
    }
    if value < KIB {
        return format!("{value}B");
    }
    let mut number = value as f64 / KIB as f64;
    let mut unit = 0;
    // A number that would be rounded to 1024 becomes 1 of the next unit.
    while number >= 1023.5 && unit + 1 < UNITS.len() {
        number /= KIB as f64;
        unit += 1;
    }
    let unit = UNITS[unit];
    match number {
        // Whole numbers and numbers from ten on have no decimals.
        _ if number >= 9.95 || number.fract() == 0.0 => format!("{number:.0}{unit}"),
        _ => format!("{number:.1}{unit}"),
    }
}

/// A rate per second.
pub fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        ..9.95 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

/// A utilisation as a percentage.
pub fn percent(part: f64) -> String {
    match part {
        // Below the limit it never shows 100 %.
        0.0..1.0 => format!("{:.0}%", (part * 100.0).round().min(99.0)),
        ..100.0 => format!("{:.0}%", part * 100.0),
        // The limit was lowered far below the usage.
        _ => ">9999%".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::{GIB, MIB};

    use super::*;

    #[test]
    fn control_sequences_are_escaped() {
        let cases = [
            ("/ipfs/kad/1.0.0 \"x\" 'y'", "/ipfs/kad/1.0.0 \"x\" 'y'"),
            ("\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            ("a\nb\0c\u{9b}d", "a\\nb\\0c\\u{9b}d"),
            (
                "\u{202e}abc\u{200b}\u{feff}",
                "\\u{202e}abc\\u{200b}\\u{feff}",
            ),
            ("e\u{301}", "e\\u{301}"),
            ("\\u{1b}", "\\\\u{1b}"),
            ("日本 ü \u{fffd}", "日本 ü \u{fffd}"),
        ];
        for (text, shown) in cases {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn every_character_of_an_escaped_text_has_a_width() {
        for char in '\0'..=char::MAX {
            for shown in escaped(&char.to_string()).chars() {
                assert!(shown.width() > Some(0), "{char:?}");
            }
        }
    }

    #[test]
    fn a_text_is_cut_by_columns_not_by_bytes() {
        let cases = [
            ("peer", 4, "peer"),
            ("peer", 3, "pe…"),
            ("peer", 1, "…"),
            ("peer", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("日本語", 2, "…"),
        ];
        for (text, width, shown) in cases {
            assert_eq!(cut(text, width), shown, "{text} in {width}");
        }
    }

    #[test]
    fn sizes_take_few_columns() {
        let cases = [
            (0, "0B"),
            (1023, "1023B"),
            (KIB, "1K"),
            (1536, "1.5K"),
            (10 * KIB + 100, "10K"),
            (MIB - 1, "1.0M"),
            (512 * MIB, "512M"),
            (1023 * MIB + 1, "1023M"),
            (16 * GIB, "16G"),
            (u64::MAX, "16E"),
        ];
        for (size, text) in cases {
            assert_eq!(short(Resource::Memory, size), text);
        }
        assert_eq!(short(Resource::Conns, 1_000_000), "1000000");
    }

    #[test]
    fn a_nearly_reached_limit_is_not_shown_as_reached() {
        assert_eq!(percent(0.9999), "99%");
        assert_eq!(percent(1.0), "100%");
        assert_eq!(percent(1.5), "150%");
        assert_eq!(percent(1e300), ">9999%");
        assert_eq!(rate(0.04), "0.0");
        assert_eq!(rate(0.25), "0.2");
        assert_eq!(rate(1234.5), "1234");
    }
}
