//! Draws the view on a screen of any size.
//!
//! From top to bottom: a line about the server, a line with the settings, what refuses now, the
//! titles of the columns, the scopes system and transient, a rule, the matching scopes, the details
//! of the selected one, and a line with the keys. On a small screen, the least important parts are
//! left out. What is shown is whole: no number is cut.

mod bar;
mod details;
mod fit;
mod help;
mod now;
mod server;
mod spark;
mod styles;
mod table;
#[cfg(test)]
mod tests;
mod title;
mod waiting;

use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use unicode_width::UnicodeWidthStr;

use super::app::{App, Mode, View};
use super::numbers::count;
use super::page::Page;
use super::text::{cut, escaped, first_words};
use fit::{EVERYTHING, Part};
use styles::{FAINT, SELECTED, STRONG};
use table::Table;

/// From this height on, there is space for the details of the selected scope below the list.
const HEIGHT_WITH_DETAILS: u16 = 30;

/// Draws the view of the server at `place`.
pub fn draw(app: &mut App, place: &str, now: Instant, area: Rect, buffer: &mut Buffer) {
    let mut lines = Lines(area);
    let width = usize::from(area.width);
    // On a small screen scopes come first.
    let at_least = |height: u16, lines: u16| if area.height >= height { lines } else { 0 };
    title::title(app, place, now, width).render(lines.take_above(1), buffer);
    title::settings(app, width).render(lines.take_above(at_least(8, 1)), buffer);
    keys(app, width).render(lines.take_below(at_least(4, 1)), buffer);
    match app.view {
        View::Scopes => list(app, lines, buffer),
        View::Details => draw_lines(details::lines(app, width), lines.0, buffer),
        View::Server => {
            let shown = app
                .page
                .as_ref()
                .map(|page| server::lines(page, &app.rates, width));
            draw_lines(shown.unwrap_or_default(), lines.0, buffer);
        }
    }
    if app.mode == Mode::Help {
        help::draw(area, buffer);
    }
}

/// Draws what refuses now, the scopes, and the details of the selected one.
fn list(app: &mut App, mut lines: Lines, buffer: &mut Buffer) {
    let (width, height) = (usize::from(lines.0.width), lines.0.height);
    let at_least = |at_least: u16, lines: u16| if height >= at_least { lines } else { 0 };
    let most_now = match height {
        ..10 => 0,
        10..16 => 2,
        16..HEIGHT_WITH_DETAILS => 5,
        _ => 8,
    };
    let shown = app
        .page
        .as_ref()
        .map(|page| now::lines(app, page, width, most_now));
    let shown = shown.unwrap_or_default();
    let now = lines.take_above(shown.len() as u16);
    draw_lines(shown, now, buffer);
    let head = lines.take_above(at_least(2, 1));
    let pinned = lines.take_above(at_least(7, 2));
    let rule = lines.take_above(at_least(9, 1));
    let details = match app.selected_scope() {
        Some(scope) if height + 3 >= HEIGHT_WITH_DETAILS => {
            details::panel(scope, &app.rates, width)
        }
        _ => None,
    };
    if let Some(shown) = details {
        draw_lines(shown, lines.take_below(details::HEIGHT), buffer);
    }
    let scopes = lines.0;
    app.set_rows(scopes.height.into());
    let Some(page) = &app.page else { return };
    let table = Table::of(page, &app.rates, width);
    table.header().style(STRONG).render(head, buffer);
    let two = [&page.system, &page.transient];
    for (scope, line) in two.into_iter().flatten().zip(pinned.rows()) {
        table.row(scope, &app.rates).render(line, buffer);
    }
    Line::styled("─".repeat(rule.width.into()), FAINT).render(rule, buffer);
    self::scopes(app, page, &table, scopes, buffer);
}

fn draw_lines(lines: Vec<Line<'static>>, area: Rect, buffer: &mut Buffer) {
    for (line, row) in lines.into_iter().zip(area.rows()) {
        line.render(row, buffer);
    }
}

/// The lines of the screen that are not used yet.
struct Lines(Rect);

impl Lines {
    fn take_above(&mut self, lines: u16) -> Rect {
        let height = lines.min(self.0.height);
        let taken = Rect { height, ..self.0 };
        self.0.y += height;
        self.0.height -= height;
        taken
    }

    fn take_below(&mut self, lines: u16) -> Rect {
        let height = lines.min(self.0.height);
        self.0.height -= height;
        let y = self.0.y + self.0.height;
        Rect {
            y,
            height,
            ..self.0
        }
    }
}

/// The view as plain text, with all that was asked for and no name cut.
pub fn text(app: &App, place: &str) -> String {
    let mut lines = vec![Line::from(escaped(place)), title::settings(app, EVERYTHING)];
    if let Some(page) = &app.page {
        lines[0].push_span(format!("  {} scopes", count(page.total)));
        lines.extend(server::state(page, EVERYTHING));
        lines.extend(now::lines(app, page, EVERYTHING, EVERYTHING));
        lines.extend(waiting::queues(page, EVERYTHING));
        lines.extend(server::networks(page, &app.rates, EVERYTHING));
        let table = Table::of(page, &app.rates, EVERYTHING);
        lines.push(table.header());
        let above = [&page.system, &page.transient].into_iter().flatten();
        lines.extend(above.map(|scope| table.row(scope, &app.rates)));
        lines.push(Line::default());
        let scopes = page.scopes.iter();
        lines.extend(scopes.map(|scope| table.row(scope, &app.rates)));
        let more = page.matched.saturating_sub(page.scopes.len() as u64);
        if more > 0 {
            lines.push(Line::from(format!("and {} more", count(more))));
        }
    }
    let lines = lines.iter().map(|line| format!("{line}"));
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

fn scopes(app: &App, page: &Page, table: &Table, area: Rect, buffer: &mut Buffer) {
    let fold = app.fold();
    for (place, line) in (app.top..app.rows_of_list()).zip(area.rows()) {
        match app.at(place) {
            Some(scope) => table.row(scope, &app.rates).render(line, buffer),
            None if place == app.reachable() => {
                let more = page.matched - place;
                table.rest(more, fold.is_some()).render(line, buffer);
            }
            // The user has scrolled here, and the answer is pending.
            None => Line::raw("...").render(line, buffer),
        }
        if place == app.selected {
            buffer.set_style(line, SELECTED);
        }
    }
    if app.matched() == 0 {
        Line::styled("nothing found", FAINT).render(area, buffer);
    }
}

fn keys(app: &App, width: usize) -> Line<'static> {
    if let Mode::Search(_) = app.mode {
        let typed = cut(&escaped(&app.search), width.saturating_sub(9));
        let help = first_words(
            "  Enter keeps it, Esc drops it",
            width.saturating_sub(9 + typed.width()),
        );
        return Line::from(vec![
            Span::styled("search: ", STRONG),
            Span::raw(typed),
            Span::styled(" ", SELECTED),
            Span::styled(help, FAINT),
        ]);
    }
    let pause = if app.paused { "go on" } else { "pause" };
    let end = match app.view {
        View::Scopes => ("q", "quit"),
        _ => ("Esc", "back"),
    };
    let fold = match app.fold() {
        Some(_) => ("f", "unfold"),
        None if !app.folds => ("f", "fold"),
        None => ("", ""),
    };
    let keys = [
        end,
        ("?", "help"),
        ("Enter", "details"),
        ("/", "search"),
        ("s", "sort"),
        ("p", pause),
        ("i", "server"),
        fold,
    ];
    let is_shown = |(key, _): &(&str, &str)| match app.view {
        // Enter goes back, as Esc does.
        View::Details => !["", "Enter"].contains(key),
        _ => !key.is_empty(),
    };
    let keys = keys.into_iter().filter(is_shown);
    let parts = keys.enumerate().map(|(rank, (key, what))| Part {
        spans: vec![
            Span::styled(key, STRONG),
            Span::styled(format!(" {what}"), FAINT),
        ],
        rank: rank as u8,
    });
    fit::line(parts.collect(), Vec::new(), width)
}
