//! Names that a remote made up, as they are shown.

use std::borrow::Cow;

/// How many bytes of a name are shown.
const LONGEST: usize = 200;

/// The name without control characters, and cut where it is longer than 200 bytes.
///
/// Both are for the reader's sake, and for what reads the metrics: a protocol's id comes from the
/// remote, and may be anything. Different names may be shown as the same.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST && !name.chars().any(char::is_control) {
        return name.into();
    }
    let cut = &name[..name.floor_char_boundary(LONGEST)];
    let mut shown = cut.replace(char::is_control, "\u{fffd}");
    if cut.len() < name.len() {
        shown.push('…');
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_shown_as_it_is() {
        for name in ["", "/ipfs/kad/1.0.0", "ö \"\\<b>", &"x".repeat(200)] {
            assert_eq!(shown(name), name);
        }
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(shown("a\nb\0c\u{85}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = "ü".repeat(50_000);
        assert_eq!(shown(&name), "ü".repeat(100) + "…");
        let name = "x".to_owned() + &name;
        assert_eq!(shown(&name), "x".to_owned() + &"ü".repeat(99) + "…");
    }
}
