//! Writes JSON whose numbers every reader can hold.

use std::io;

use rcmgr_core::LimitValue;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// Writes JSON on one line.
///
/// # Errors
///
/// The errors of the writer.
pub(crate) fn write(to: impl io::Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(
        to,
        Signed(CompactFormatter),
    ))
}

/// The JSON of plain data, with line breaks.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    let mut json = Vec::new();
    let formatter = Signed(PrettyFormatter::new());
    value
        .serialize(&mut Serializer::with_formatter(&mut json, formatter))
        .expect("plain data can be written as JSON");
    String::from_utf8(json).expect("JSON is UTF-8")
}

/// Writes a number over 2^63 - 1 as 2^63 - 1, because many readers have signed numbers of 64 bits.
/// Such an amount means "more than anything", so nothing is lost.
struct Signed<F>(F);

/// Passes these methods on, with their arguments.
macro_rules! pass_on {
    ($($method:ident($($argument:ident: $type:ty),*)),* $(,)?) => {$(
        fn $method<W: ?Sized + io::Write>(
            &mut self,
            to: &mut W,
            $($argument: $type),*
        ) -> io::Result<()> {
            self.0.$method(to $(, $argument)*)
        }
    )*};
}

impl<F: Formatter> Formatter for Signed<F> {
    fn write_u64<W: ?Sized + io::Write>(&mut self, to: &mut W, value: u64) -> io::Result<()> {
        self.0.write_u64(to, value.min(LimitValue::LARGEST))
    }

    pass_on!(
        begin_array(),
        end_array(),
        begin_array_value(first: bool),
        end_array_value(),
        begin_object(),
        end_object(),
        begin_object_key(first: bool),
        end_object_key(),
        begin_object_value(),
        end_object_value(),
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn numbers_are_written_so_that_signed_readers_can_read_them() {
        let amounts = [0, 7, (1 << 63) - 1, 1 << 63, u64::MAX];
        let data = BTreeMap::from([("used", &amounts[..]), ("none", &[])]);
        let mut line = Vec::new();
        write(&mut line, &data).unwrap();
        for json in [String::from_utf8(line).unwrap(), pretty(&data)] {
            let read: BTreeMap<String, Vec<i64>> = serde_json::from_str(&json).unwrap();
            assert_eq!(read["used"], [0, 7, i64::MAX, i64::MAX, i64::MAX]);
            assert!(read["none"].is_empty());
        }
        // The layout is that of serde_json.
        let small = BTreeMap::from([("a", vec![1_u64, 2]), ("b", vec![])]);
        assert_eq!(
            pretty(&small),
            serde_json::to_string_pretty(&small).unwrap()
        );
    }
}
