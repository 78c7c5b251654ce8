//! The help on the keys, drawn over the view.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget};

use super::styles::{FAINT, STRONG};
use crate::top::text::{first_words, wrapped};

const KEYS: [(&str, &str); 13] = [
    ("q, Esc, Ctrl-C", "quit"),
    ("Up, k / Down, j", "select another scope"),
    ("PgUp / PgDn", "a screen up or down"),
    ("Home, g / End, G", "to the first or the last"),
    ("/", "search names, ignoring case"),
    ("s", "change the order"),
    ("p", "pause or continue"),
    ("Enter", "all numbers of the selected scope, and back"),
    ("i", "the server and refusals by address, and back"),
    ("f", "fold or unfold the scopes without limits"),
    ("Ctrl-Z", "back to the shell; fg returns"),
    ("?, h", "this help; any key ends it"),
    ("", ""),
];

const NOTES: [&str; 5] = [
    "FULL: usage of the fullest limit.",
    "NOW: refusals per second since the last update.",
    "LAST MINUTE: FULL over time, red: something was refused.",
    "k, M, G: powers of 1000; KiB, MiB, GiB: of 1024.",
    "Invisible characters of names are escaped: \\u{1b}.",
];

/// Draws the help in the middle of the screen.
pub fn draw(area: Rect, buffer: &mut Buffer) {
    // The border and a space on both sides.
    let most = usize::from(area.width.saturating_sub(4));
    let keys = KEYS
        .into_iter()
        .flat_map(|(key, what)| key_lines(key, what, most));
    let notes = NOTES.into_iter().flat_map(|note| wrapped(note, most));
    let notes = notes.map(|note| Line::styled(format!(" {note}"), FAINT));
    let lines: Vec<_> = keys.chain(notes).collect();
    let widest = lines.iter().map(Line::width).max().unwrap_or(0);
    let width = u16::try_from(widest).unwrap_or(u16::MAX).saturating_add(3);
    let height = lines.len() as u16 + 2;
    let place = area.centered(Constraint::Max(width), Constraint::Max(height));
    Clear.render(place, buffer);
    let block = Block::bordered().title(" rcmgr top ");
    Paragraph::new(lines).block(block).render(place, buffer);
}

/// A key and its effect, beside each other if there is space.
fn key_lines(key: &'static str, what: &'static str, most: usize) -> Vec<Line<'static>> {
    let beside = Line::from_iter([
        Span::styled(format!(" {key:<17} "), STRONG),
        Span::raw(what),
    ]);
    if beside.width() <= most + 1 {
        return vec![beside];
    }
    let mut lines = vec![Line::styled(format!(" {}", first_words(key, most)), STRONG)];
    let what = wrapped(what, most.saturating_sub(2)).into_iter();
    lines.extend(what.map(|line| Line::from(format!("   {line}"))));
    lines
}
