//! Shows text that a remote or a file chose, so that it cannot harm the place where it is shown.

use std::fmt::{self, Write};

/// A text from the network or a file, for people to read: see [`shown`].
#[derive(Clone, Copy)]
pub struct Shown<'a>(&'a str);

/// Shows a text that a remote or a file chose. Names in errors and log lines are shown like this.
///
/// The result is one short line that is safe in a terminal:
///
/// - Invisible characters are escaped: line breaks, escape sequences, characters that change the
///   direction of the text, spaces other than the plain one.
/// - It is cut after [`Shown::MOST_CHARS`] characters, and then ends with `…`. A precision sets
///   another maximum: `{:.200}`.
///
/// Different texts can be shown alike, so a program must not read names from it. `{:?}` adds quotes,
/// and escapes quotes and backslashes in the text.
///
/// ```
/// use rcmgr_core::shown;
///
/// assert_eq!(shown("/ipfs/kad/1.0.0 ö").to_string(), "/ipfs/kad/1.0.0 ö");
/// assert_eq!(shown("a\nb\u{1b}[31m\u{202e}c").to_string(), r"a\nb\u{1b}[31m\u{202e}c");
/// assert_eq!(format!("{:.3}", shown("abcdef")), "abc…");
/// assert_eq!(format!("{:?}", shown("say \"hi\"")), r#""say \"hi\"""#);
/// ```
pub const fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

impl Shown<'_> {
    /// The number of characters that are shown without a precision; an escaped character counts
    /// with the characters of its escape.
    pub const MOST_CHARS: usize = 64;

    fn write(self, f: &mut fmt::Formatter<'_>, quoted: bool) -> fmt::Result {
        let mut room = f.precision().unwrap_or(Self::MOST_CHARS);
        for (at, char) in self.0.char_indices() {
            let is_plain = match char {
                '"' | '\\' => !quoted,
                // A mark at the start would change the character in front of the text.
                _ if at == 0 => char == '\'' || char.escape_debug().len() == 1,
                _ => is_visible(char),
            };
            let length = if is_plain {
                1
            } else {
                char.escape_debug().len()
            };
            if length > room {
                return f.write_char('…');
            }
            room -= length;
            match is_plain {
                true => f.write_char(char)?,
                false => write!(f, "{}", char.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// Whether a character within a text can be seen, or is a plain space.
pub(crate) fn is_visible(char: char) -> bool {
    if char.is_ascii() {
        return matches!(char, ' '..='~');
    }
    // The standard library knows the invisible characters, and escapes them in a string. It escapes
    // a mark, such as an accent, only at the start, where it has no letter to stand on.
    let mut letter_and_char = [b'a', 0, 0, 0, 0];
    let len = 1 + char.encode_utf8(&mut letter_and_char[1..]).len();
    str::from_utf8(&letter_and_char[..len])
        .is_ok_and(|text| text.escape_debug().nth(1) == Some(char))
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        self.write(f, true)?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_text_of_any_language_is_shown_as_it_is() {
        let name = r#"it's a "name" \ ö 名前 नमस्ते e\u{301}"#.replace(r"e\u{301}", "e\u{301}");
        assert_eq!(shown(&name).to_string(), name);
        assert_eq!(shown("").to_string(), "");
    }

    #[test]
    fn invisible_characters_are_escaped() {
        let cases = [
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("a\r\n\t\0b", r"a\r\n\t\0b"),
            ("\u{7f}\u{85}\u{9b}", r"\u{7f}\u{85}\u{9b}"),
            ("\u{2028}\u{2066}\u{feff}", r"\u{2028}\u{2066}\u{feff}"),
            ("a\u{a0}\u{200b}b", r"a\u{a0}\u{200b}b"),
            // A mark without a letter.
            ("\u{301}", r"\u{301}"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text).to_string(), expected);
            // What is shown can be shown again.
            assert_eq!(shown(expected).to_string(), expected);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_never_within_an_escape() {
        let long = "ü".repeat(Shown::MOST_CHARS);
        assert_eq!(shown(&long).to_string(), long);
        assert_eq!(shown(&(long.clone() + "x")).to_string(), long + "…");
        let lines = "\n".repeat(1 << 20);
        assert_eq!(shown(&lines).to_string(), r"\n".repeat(32) + "…");
        assert_eq!(format!("{:.5}", shown("ab\u{202e}")), "ab…");
        assert_eq!(format!("{:.3?}", shown("a\"b\"")), r#""a\"…""#);
    }
}
