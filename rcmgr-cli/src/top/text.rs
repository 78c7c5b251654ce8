//! Makes text safe and short enough for the screen.

use rcmgr_atomic::shown;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The number of characters that are kept of a text.
const MOST_CHARS: usize = 1000;

/// The text as [`shown`] has it, cut after many characters, and also without characters that have
/// no width of their own.
///
/// Remotes choose the names of scopes. A server escapes them, but it may be none that is known here.
/// Hundreds of accents on one letter would be drawn over the lines beside it.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len().min(MOST_CHARS));
    for char in format!("{:.MOST_CHARS$}", shown(text)).chars() {
        match char.width() {
            Some(1..) => escaped.push(char),
            _ => escaped.extend(char.escape_unicode()),
        }
    }
    escaped
}

/// The name, if it fits into `width` columns, otherwise its two ends with a `…` between them. The
/// end of a name is what tells the peers of a protocol apart.
pub fn cut(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let Some(left) = width.checked_sub(1) else {
        return String::new();
    };
    let (head, behind) = name.split_at(bytes_within(name.chars(), left.div_ceil(2)));
    let (before, tail) = name.split_at(name.len() - bytes_within(name.chars().rev(), left / 2));
    // The cut may go through a number, and a part of it is another number: leave out the rest.
    let digit = |char: char| char.is_ascii_digit();
    let head = match cuts_a_number(head, behind) {
        true => head.trim_end_matches(digit),
        false => head,
    };
    let tail = match cuts_a_number(before, tail) {
        true => tail.trim_start_matches(digit),
        false => tail,
    };
    format!("{head}…{tail}")
}

/// The number of bytes of the first characters that fit into `width` columns.
fn bytes_within(chars: impl Iterator<Item = char>, width: usize) -> usize {
    let mut left = width;
    let fits = |char: &char| match left.checked_sub(char.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    chars.take_while(fits).map(char::len_utf8).sum()
}

/// Whether there are digits on both sides. Many digits in a row are an id: a part of an
/// id is better than nothing.
fn cuts_a_number(before: &str, behind: &str) -> bool {
    const MOST_DIGITS_OF_A_PORT: usize = 5;
    let digit = |byte: &&u8| byte.is_ascii_digit();
    let before = before.as_bytes().iter().rev().take_while(digit).count();
    let behind = behind.as_bytes().iter().take_while(digit).count();
    before > 0 && behind > 0 && before + behind <= MOST_DIGITS_OF_A_PORT
}

/// The text in lines of `width` columns. Words stay whole if they fit into a line.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let left = width.saturating_sub(lines.last().map_or(0, |line| line.width()));
        if word.trim_end().width() > left && left < width {
            lines.push(String::new());
        }
        for char in word.chars() {
            let columns = char.width().unwrap_or(0);
            match lines.last_mut() {
                Some(line) if line.width() + columns <= width => line.push(char),
                // The space between two lines is not shown.
                _ if char == ' ' => {}
                _ => lines.push(char.into()),
            }
        }
    }
    lines
}

/// Ends a sentence that has more words.
const ELLIPSIS: &str = " …";

/// The first words of a sentence that fit into `width` columns, with a `…` if there are more.
///
/// A sentence may have numbers, and a part of a number is another number. So words stay whole.
pub fn first_words(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let ends = text.match_indices(' ').map(|(end, _)| &text[..end]);
    let fits = |words: &&str| words.width() + ELLIPSIS.width() <= width;
    let words = ends.take_while(fits).last();
    words.map_or_else(String::new, |words| format!("{words}{ELLIPSIS}"))
}

#[cfg(test)]
mod tests {
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
            ("\\u{1b}", "\\u{1b}"),
            ("日本 ü \u{fffd}", "日本 ü \u{fffd}"),
        ];
        for (text, shown) in cases {
            assert_eq!(escaped(text), shown);
            assert_eq!(escaped(shown), shown, "a server may have done it");
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
    fn a_name_is_cut_in_the_middle_by_columns_not_by_bytes() {
        let cases = [
            ("peer", 4, "peer"),
            ("peer", 3, "p…r"),
            ("peer", 2, "p…"),
            ("peer", 1, "…"),
            ("peer", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日…語"),
            ("日本語", 4, "日…"),
            ("日本語", 2, "…"),
            ("protocol:/a.peer:192.0.2.7", 16, "protocol….0.2.7"),
            ("peer:10.0.0.102", 14, "peer:10….0.102"),
            ("peer:12345678901234567890", 13, "peer:1…567890"),
        ];
        for (text, width, shown) in cases {
            assert_eq!(cut(text, width), shown, "{text} in {width}");
        }
    }

    #[test]
    fn a_long_text_takes_several_lines() {
        let lines = wrapped("line 12: 12345 is wrong", 9);
        assert_eq!(lines, ["line 12: ", "12345 is ", "wrong"]);
        assert_eq!(wrapped("peer:日本語のプロ", 9), ["peer:日本", "語のプロ"]);
        assert_eq!(wrapped("", 9), [""]);
    }

    #[test]
    fn a_sentence_is_cut_between_words_so_that_numbers_stay_whole() {
        let text = "no answer within 10 s";
        let cases = [
            (21, text),
            (20, "no answer within …"),
            (18, "no answer within …"),
            (17, "no answer …"),
            (4, "no …"),
            (3, ""),
            (0, ""),
        ];
        for (width, shown) in cases {
            assert_eq!(first_words(text, width), shown, "in {width}");
        }
    }
}
