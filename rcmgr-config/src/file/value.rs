//! The values of a limits file: numbers, sizes and words.

use rcmgr_core::{LimitValue, Resource, shown};

use super::names::kind;
use super::tree::Value;
use crate::{ByteSize, ByteSizeError, FileFormat};

/// A field's value: `None` for the default.
pub(super) type Field<T> = Result<Option<T>, String>;

/// A number of things that are not bytes.
pub(super) fn count_value(value: &Value<'_>, format: FileFormat) -> Field<LimitValue> {
    limit_value(Resource::Conns, value, format)
}

/// The value of a field of a scope.
pub(super) fn limit_value(
    resource: Resource,
    value: &Value<'_>,
    format: FileFormat,
) -> Field<LimitValue> {
    let expected = match resource {
        Resource::Memory => {
            "expected bytes, a size such as \"512 MiB\", \"unlimited\", \"blockAll\" or \"default\""
        }
        _ => "expected a number, \"unlimited\", \"blockAll\" or \"default\"",
    };
    let whole = |text: &str, whole: Result<u64, NotWhole>| match whole {
        Ok(whole) => Ok(Some(LimitValue::from(whole))),
        Err(error) => Err(error.reason(text, expected)),
    };
    match value {
        Value::Null => Ok(None),
        Value::Integer(text, Some(value)) => whole(text, Ok(*value)),
        // A number of another base is not decimal, and out of range too.
        Value::Integer(text, None) => match exact_whole(text) {
            Err(NotWhole::Fraction) => whole(text, Err(NotWhole::TooLarge)),
            value => whole(text, value),
        },
        Value::Float(text) => whole(text, exact_whole(text)),
        Value::Text(text) => match text.trim() {
            "default" => Ok(None),
            "unlimited" => Ok(Some(LimitValue::Unlimited)),
            "blockAll" => Ok(Some(LimitValue::BLOCK_ALL)),
            text if is_plain_number(text) => whole(text, exact_whole(text)),
            text if resource == Resource::Memory => match text.parse() {
                Ok(ByteSize(bytes)) => Ok(Some(LimitValue::from(bytes))),
                Err(ByteSizeError::NoNumber) => Err(format!("found {:?}; {expected}", shown(text))),
                Err(error) => Err(format!("{:?}: {error}", shown(text))),
            },
            text => Err(format!("found {:?}; {expected}", shown(text))),
        },
        other => Err(format!("found {}; {expected}", kind(other, format))),
    }
}

/// Whether a string is a number without a sign and a unit. Fractions are left to the sizes.
fn is_plain_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && !matches!(exact_whole(text), Err(NotWhole::Fraction))
}

/// Why a number is not a whole number in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotWhole {
    Negative,
    Fraction,
    TooLarge,
}

impl NotWhole {
    pub(super) fn reason(self, text: &str, expected: &str) -> String {
        let text = shown(text);
        match self {
            Self::Negative => format!("{text} is negative; {expected}"),
            Self::Fraction => format!("{text} is not a whole number; {expected}"),
            Self::TooLarge => format!("{text} is too large; the largest value is 2^64 - 1"),
        }
    }
}

/// The value of a decimal number, exactly. A fraction and an exponent are allowed if the number is
/// whole, as in `1.073741824e+09`, because some programs write all numbers so.
pub(super) fn exact_whole(text: &str) -> Result<u64, NotWhole> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Some(negated) = unsigned.strip_prefix('-') {
        return match exact_whole(negated) {
            Err(NotWhole::Fraction) => Err(NotWhole::Fraction),
            Ok(0) => Ok(0),
            _ => Err(NotWhole::Negative),
        };
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || power.is_empty() || !all_digits(&digits) || !all_digits(power) {
        return Err(NotWhole::Fraction);
    }
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    // The number is `significant` times ten to the power of `scale`.
    let out_of_range = match exponent.starts_with('-') {
        true => NotWhole::Fraction,
        false => NotWhole::TooLarge,
    };
    let scale = exponent
        .parse::<i32>()
        .map_err(|_| out_of_range)?
        .saturating_add_unsigned(u32::try_from(dropped).unwrap_or(u32::MAX))
        .saturating_sub_unsigned(u32::try_from(fraction.len()).unwrap_or(u32::MAX));
    let scale = u32::try_from(scale).map_err(|_| NotWhole::Fraction)?;
    let power = 10u64.checked_pow(scale).ok_or(NotWhole::TooLarge)?;
    let significant: u64 = significant.parse().map_err(|_| NotWhole::TooLarge)?;
    significant.checked_mul(power).ok_or(NotWhole::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_with_a_fraction_or_an_exponent_is_read_exactly() {
        use NotWhole::{Fraction, Negative, TooLarge};
        let cases = [
            ("0", Ok(0)),
            ("-0.0", Ok(0)),
            ("007", Ok(7)),
            ("1024.0", Ok(1024)),
            ("1.073741824e+09", Ok(1 << 30)),
            ("1.8446744073709551615E19", Ok(u64::MAX)),
            ("18446744073709551615.000", Ok(u64::MAX)),
            ("9007199254740993e0", Ok(9_007_199_254_740_993)),
            ("2500e-2", Ok(25)),
            ("0e99999999999999999999", Ok(0)),
            ("1.5", Err(Fraction)),
            ("25e-2", Err(Fraction)),
            ("1e-99999999999999999999", Err(Fraction)),
            ("1e5.5", Err(Fraction)),
            ("1e", Err(Fraction)),
            ("inf", Err(Fraction)),
            ("nan", Err(Fraction)),
            ("-1", Err(Negative)),
            ("-1.0", Err(Negative)),
            ("-1e99", Err(Negative)),
            ("18446744073709551616", Err(TooLarge)),
            ("1e20", Err(TooLarge)),
            ("1e99999999999999999999", Err(TooLarge)),
        ];
        for (text, value) in cases {
            assert_eq!(exact_whole(text), value, "{text}");
        }
    }
}
