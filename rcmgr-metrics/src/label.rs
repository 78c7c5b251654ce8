//! Makes names that remotes choose safe to show.

use std::borrow::Cow;

/// The number of characters of a name that are shown.
pub(crate) const LONGEST: usize = 200;

/// The name with invisible characters escaped, cut after 200 characters.
///
/// A protocol's id comes from the remote and may contain anything. Both changes protect readers and
/// the programs that read metrics. Two different names may be shown as the same text.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    let is_plain = name.len() <= LONGEST && name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match is_plain {
        true => name.into(),
        false => format!("{:.LONGEST$}", rcmgr_core::shown(name)).into(),
    }
}

/// The number of characters of a name that a log line shows.
pub(crate) const MOST_CHARS: usize = 100;

/// The name for a log line. Invisible characters are escaped, also those that end the line or
/// change its direction. The name is cut after 100 characters.
pub(crate) fn escaped(name: &str) -> String {
    format!("{:.MOST_CHARS$}", rcmgr_core::shown(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_log_line_a_name_is_short_and_escaped() {
        assert_eq!(escaped("/ipfs/kad/1.0.0 ö"), "/ipfs/kad/1.0.0 ö");
        assert_eq!(
            escaped("a\nb\u{1b}[31m\u{202e}c"),
            "a\\nb\\u{1b}[31m\\u{202e}c"
        );
        let long = "ü".repeat(100);
        assert_eq!(escaped(&long), long);
        assert_eq!(escaped(&(long.clone() + "x")), long + "…");
    }

    #[test]
    fn a_plain_name_is_shown_as_it_is() {
        for name in ["", "/ipfs/kad/1.0.0", "ö \"\\<b>", &"x".repeat(200)] {
            assert_eq!(shown(name), name);
        }
    }

    #[test]
    fn invisible_characters_are_escaped() {
        assert_eq!(shown("a\nb\0c\u{85}"), r"a\nb\0c\u{85}");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = "ü".repeat(50_000);
        assert_eq!(shown(&name), "ü".repeat(200) + "…");
        let name = "x".to_owned() + &name;
        assert_eq!(shown(&name), "x".to_owned() + &"ü".repeat(199) + "…");
    }
}
