//! Lines whose parts are shown whole or not at all.
//!
//! A part of a number is another number, so nothing that may have a number is cut at the edge of
//! the screen. A part that does not fit is left out, and less important parts come first.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

/// The columns between two parts.
const GAP: usize = 2;

/// The width of a text that is printed: everything fits, and nothing is at the right end.
pub const EVERYTHING: usize = usize::MAX;

/// A part of a line. A part without text is not shown.
#[derive(Debug)]
pub struct Part {
    pub spans: Vec<Span<'static>>,
    /// The smaller, the more important.
    pub rank: u8,
}

/// A part in one style.
pub fn part(rank: u8, text: impl Into<String>, style: Style) -> Part {
    Part {
        spans: vec![Span::styled(text.into(), style)],
        rank,
    }
}

impl Part {
    fn width(&self) -> usize {
        self.spans.iter().map(Span::width).sum()
    }
}

/// A line with some parts at its left end and some at its right.
pub fn line(left: Vec<Part>, right: Vec<Part>, width: usize) -> Line<'static> {
    let on_left = left.len();
    let parts: Vec<_> = left.into_iter().chain(right).collect();
    let mut by_rank: Vec<_> = (0..parts.len()).collect();
    by_rank.sort_by_key(|&at| parts[at].rank);
    // Each part in turn gets space, if there is enough.
    let mut is_shown = vec![false; parts.len()];
    let mut left_over = width;
    let mut gap = 0;
    for at in by_rank {
        let text = parts[at].width();
        let needed = text + gap;
        if text > 0 && needed <= left_over {
            left_over -= needed;
            is_shown[at] = true;
            gap = GAP;
        }
    }
    let mut spans = Vec::new();
    let mut space = 0;
    for (at, part) in parts.into_iter().enumerate() {
        // What is left over separates the two ends.
        if at == on_left && width != EVERYTHING {
            space += left_over;
        }
        if is_shown[at] {
            spans.push(Span::raw(" ".repeat(space)));
            spans.extend(part.spans);
            space = GAP;
        }
    }
    Line::from(spans)
}

/// All parts, on as many lines as they need, with an indent. A part that is wider than a line is
/// left out.
pub fn flow<const N: usize>(parts: [Part; N], indent: &str, width: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line> = Vec::new();
    for part in parts {
        let text = part.width();
        if text == 0 || indent.width() + text > width {
            continue;
        }
        match lines.last_mut() {
            Some(line) if line.width() + GAP + text <= width => {
                line.push_span(Span::raw(" ".repeat(GAP)));
                line.extend(part.spans);
            }
            _ => {
                let mut line = Line::raw(indent.to_owned());
                line.extend(part.spans);
                lines.push(line);
            }
        }
    }
    lines
}

/// The first text that fits; nothing if none does.
pub fn first_that_fits<const N: usize>(texts: [String; N], width: usize) -> String {
    let found = texts.into_iter().find(|text| text.width() <= width);
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: usize) -> String {
        let plain = |rank, text: &str| part(rank, text, Style::new());
        let left = vec![plain(1, "place"), plain(3, ""), plain(2, "name")];
        let right = vec![plain(3, "133k scopes"), plain(0, "answers in 13 ms")];
        line(left, right, width).to_string()
    }

    #[test]
    fn parts_take_as_many_lines_as_they_need() {
        let parts =
            || ["refused 134k", "", "2.5/s", "peak 16"].map(|text| part(0, text, Style::new()));
        let shown = |width| {
            let lines = flow(parts(), "  ", width).into_iter();
            lines.map(|line| line.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(shown(30), ["  refused 134k  2.5/s  peak 16"]);
        assert_eq!(shown(29), ["  refused 134k  2.5/s", "  peak 16"]);
        assert_eq!(shown(14), ["  refused 134k", "  2.5/s", "  peak 16"]);
        assert_eq!(shown(13), ["  2.5/s", "  peak 16"]);
    }

    #[test]
    fn a_part_that_does_not_fit_is_left_out() {
        let cases = [
            (50, "place  name          133k scopes  answers in 13 ms"),
            (42, "place  name  133k scopes  answers in 13 ms"),
            (41, "place  name              answers in 13 ms"),
            (28, "place       answers in 13 ms"),
            (16, "answers in 13 ms"),
            (15, "place  name"),
            (10, "place"),
            (4, "name"),
            (3, ""),
        ];
        for (width, text) in cases {
            assert_eq!(shown(width).trim_end(), text, "in {width}");
        }
    }
}
