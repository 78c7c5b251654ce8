//! A number of bytes that is parsed and printed with a unit.

use std::fmt;
use std::str::FromStr;

use rcmgr_core::{GIB, KIB, MIB};

/// A number of bytes that is parsed and printed with a unit, exactly.
///
/// Parsing accepts a whole number of bytes, or a number with an optional fraction and a unit: `B`;
/// `KiB`, `MiB`, `GiB`, `TiB`, `PiB`, `EiB` (powers of 1024); `kB` or `KB`, `MB`, `GB`, `TB`, `PB`,
/// `EB` (powers of 1000). Spaces may stand before the unit and around the whole. A fraction of a byte is cut off. A unit
/// such as `M` is refused, because it may mean 1000 or 1024.
///
/// Printing uses the largest unit of 1024 in which the number is whole, so that nothing is lost.
/// With a precision, it uses the largest unit that fits, and rounds.
///
/// ```
/// use rcmgr_config::ByteSize;
/// use rcmgr_core::MIB;
///
/// let size: ByteSize = "1.5 GiB".parse()?;
/// assert_eq!(size, ByteSize(1536 * MIB));
/// assert_eq!(size.to_string(), "1536 MiB");
/// assert_eq!(format!("{size:.1}"), "1.5 GiB");
/// assert_eq!("10 MB".parse::<ByteSize>()?.0, 10_000_000);
/// assert_eq!("4096".parse::<ByteSize>()?.to_string(), "4 KiB");
/// # Ok::<(), rcmgr_config::ByteSizeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a text is not a [`ByteSize`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ByteSizeError {
    /// It does not start with a number like `512` or `1.5`.
    #[error("expected a number of bytes such as 1048576, \"512 MiB\" or \"1.5 GiB\"")]
    NoNumber,
    /// The text after the number is not a known unit.
    #[error("unknown unit {0:?}: use B, KiB, MiB, GiB, TiB, PiB, EiB, kB, MB, GB, TB, PB, EB")]
    UnknownUnit(String),
    /// It is a fraction of a byte.
    #[error("a fraction needs a unit larger than a byte")]
    PartOfAByte,
    /// The fraction has more than 18 digits.
    #[error("too many digits after the decimal point, at most 18 are allowed")]
    TooManyDigits,
    /// It is more than 2^64 - 1 bytes.
    #[error("too large; the largest size is 2^64 - 1 bytes")]
    TooLarge,
}

const TIB: u64 = 1024 * GIB;
const PIB: u64 = 1024 * TIB;
const EIB: u64 = 1024 * PIB;

const BINARY: [(&str, u64); 7] = [
    ("EiB", EIB),
    ("PiB", PIB),
    ("TiB", TIB),
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", KIB),
    ("B", 1),
];

const DECIMAL: [(&str, u64); 7] = [
    ("EB", 10u64.pow(18)),
    ("PB", 10u64.pow(15)),
    ("TB", 10u64.pow(12)),
    ("GB", 10u64.pow(9)),
    ("MB", 10u64.pow(6)),
    ("KB", 1000),
    ("kB", 1000),
];

fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        // Split into whole number, fraction and unit.
        let (whole, rest) = digits(text.trim());
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("0", rest),
        };
        if whole.is_empty() || fraction.is_empty() {
            return Err(ByteSizeError::NoNumber);
        }
        let unit = match rest.trim_start() {
            "" if rest.is_empty() => 1,
            name => BINARY
                .iter()
                .chain(&DECIMAL)
                .find(|(unit, _)| *unit == name)
                .map(|(_, bytes)| *bytes)
                .ok_or_else(|| ByteSizeError::UnknownUnit(shortened(name)))?,
        };
        let fraction = fraction.trim_end_matches('0');
        if unit == 1 && !fraction.is_empty() {
            return Err(ByteSizeError::PartOfAByte);
        }
        if fraction.len() > 18 {
            return Err(ByteSizeError::TooManyDigits);
        }
        // No overflow: 2^64 times 2^60, and 10^18 times 2^60, are far below 2^128.
        let unit = u128::from(unit);
        let whole: u64 = whole.parse().map_err(|_| ByteSizeError::TooLarge)?;
        let part = match fraction {
            "" => 0,
            digits => {
                let number: u64 = digits.parse().map_err(|_| ByteSizeError::TooManyDigits)?;
                u128::from(number) * unit / 10u128.pow(digits.len() as u32)
            }
        };
        u64::try_from(u128::from(whole) * unit + part)
            .map(Self)
            .map_err(|_| ByteSizeError::TooLarge)
    }
}

/// Shortens a text, so that an error does not repeat a whole file.
fn shortened(text: &str) -> String {
    text.chars().take(16).collect()
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit_where = |fits: &dyn Fn(u64) -> bool| {
            BINARY
                .into_iter()
                .find(|&(_, bytes)| bytes == 1 || fits(bytes))
                .unwrap_or(("B", 1))
        };
        let text = match f.precision() {
            None => {
                let (unit, bytes) = unit_where(&|bytes| self.0 > 0 && self.0.is_multiple_of(bytes));
                format!("{} {unit}", self.0 / bytes)
            }
            Some(precision) => match unit_where(&|bytes| self.0 >= bytes) {
                (unit, 1) => format!("{} {unit}", self.0),
                (unit, bytes) => format!("{:.precision$} {unit}", self.0 as f64 / bytes as f64),
            },
        };
        // `pad` would use the precision as a maximum length.
        match f.width() {
            Some(width) if f.align() == Some(fmt::Alignment::Left) => write!(f, "{text:<width$}"),
            Some(width) => write!(f, "{text:>width$}"),
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u64, ByteSizeError> {
        text.parse().map(|ByteSize(bytes)| bytes)
    }

    #[test]
    fn a_size_is_parsed_exactly() {
        let cases = [
            ("0", 0),
            ("007", 7),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551615 B", u64::MAX),
            ("9007199254740993", 9_007_199_254_740_993),
            ("512 MiB", 512 * MIB),
            ("1GiB", GIB),
            ("64   KiB", 64 * KIB),
            (" 512 MiB ", 512 * MIB),
            ("\t7\n", 7),
            ("1.5 GiB", 1536 * MIB),
            ("1.0 B", 1),
            ("10 MB", 10_000_000),
            ("2kB", 2000),
            ("2KB", 2000),
            ("0.3 GiB", 322_122_547),
            ("15.999999999999999999 EiB", u64::MAX - 1),
        ];
        for (text, bytes) in cases {
            assert_eq!(read(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn an_invalid_size_is_refused_with_the_reason() {
        use ByteSizeError::{NoNumber, PartOfAByte, TooLarge, TooManyDigits};
        let unknown = |unit: &str| ByteSizeError::UnknownUnit(unit.into());
        let cases = [
            ("", NoNumber),
            ("lots", NoNumber),
            ("-1", NoNumber),
            ("+1", NoNumber),
            (".5 GiB", NoNumber),
            ("1. GiB", NoNumber),
            ("٣ GiB", NoNumber),
            ("12x", unknown("x")),
            ("1 M", unknown("M")),
            ("1 mib", unknown("mib")),
            ("1e3", unknown("e3")),
            ("1 Gi B", unknown("Gi B")),
            ("1.2.3 GiB", unknown(".3 GiB")),
            ("1.5", PartOfAByte),
            ("1.5 B", PartOfAByte),
            ("0.1234567890123456789 GiB", TooManyDigits),
            ("18446744073709551616", TooLarge),
            ("16 EiB", TooLarge),
            ("99999999999999999999999", TooLarge),
        ];
        for (text, error) in cases {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_size_survives_the_round_trip_through_text() {
        for bytes in [0, 1, 1023, KIB, KIB + 1, 1536, 512 * MIB, EIB, u64::MAX] {
            assert_eq!(read(&ByteSize(bytes).to_string()), Ok(bytes));
        }
        assert_eq!(ByteSize(0).to_string(), "0 B");
        assert_eq!(
            format!("{:>8}|{:<8}|", ByteSize(KIB), ByteSize(7)),
            "   1 KiB|7 B     |"
        );
        assert_eq!(format!("{:.2}", ByteSize(u64::MAX)), "16.00 EiB");
    }
}
