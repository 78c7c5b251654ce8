//! Draws the view on a screen of any size.
//!
//! From top to bottom: a line about the server, a line with the settings, the titles of the
//! columns, the scopes system and transient, a rule, the matching scopes, the details of the
//! selected one, and a line with the keys. On a small screen, the least important parts are left
//! out.

mod bar;
mod details;
mod help;
mod styles;
mod table;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use unicode_width::UnicodeWidthStr;

use super::app::{App, Connection, Mode};
use super::text::{cut, escaped};
use styles::{FAILED, FAINT, SELECTED, STRONG};
use table::Table;

/// Draws the view of the server at `place`.
pub fn draw(app: &mut App, place: &str, now: Instant, area: Rect, buffer: &mut Buffer) {
    let mut lines = Lines(area);
    // On a small screen scopes come first.
    let at_least = |height: u16, lines: u16| if area.height >= height { lines } else { 0 };
    let title = lines.take_above(1);
    let settings = lines.take_above(at_least(8, 1));
    let head = lines.take_above(at_least(3, 1));
    let pinned = lines.take_above(at_least(10, 2));
    let rule = lines.take_above(at_least(12, 1));
    let keys = lines.take_below(at_least(4, 1));
    let room_for_details = app.details && lines.0.height >= details::HEIGHT + 5;
    let details = lines.take_below(if room_for_details { details::HEIGHT } else { 0 });
    let scopes = lines.0;

    app.set_rows(scopes.height.into());
    self::title(app, place, now, title.width.into()).render(title, buffer);
    self::settings(app).render(settings, buffer);
    if let Some(page) = &app.page {
        let table = Table::of(page, &app.rates, area.width.into());
        table.header().style(STRONG).render(head, buffer);
        let two = [&page.system, &page.transient];
        for (scope, line) in two.into_iter().flatten().zip(pinned.rows()) {
            table.row(scope, &app.rates).render(line, buffer);
        }
        Line::styled("─".repeat(rule.width.into()), FAINT).render(rule, buffer);
        self::scopes(app, &table, scopes, buffer);
    }
    details::draw(app, details, buffer);
    self::keys(app).render(keys, buffer);
    if app.mode == Mode::Help {
        help::draw(area, buffer);
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

/// The view as plain text.
pub fn text(app: &App, place: &str) -> String {
    let mut lines = vec![Line::from(escaped(place)), settings(app)];
    if let Some(page) = &app.page {
        lines[0].push_span(format!("  {} scopes", page.total));
        let table = Table::of(page, &app.rates, usize::MAX);
        lines.push(table.header());
        let above = [&page.system, &page.transient].into_iter().flatten();
        lines.extend(above.map(|scope| table.row(scope, &app.rates)));
        lines.push(Line::default());
        let scopes = page.scopes.iter();
        lines.extend(scopes.map(|scope| table.row(scope, &app.rates)));
        let more = page.matched.saturating_sub(page.scopes.len() as u64);
        if more > 0 {
            lines.push(Line::from(format!("and {more} more")));
        }
    }
    let lines = lines.iter().map(|line| format!("{line}\n"));
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// The server and its state. If the line is too long, the end of the place is cut.
fn title(app: &App, place: &str, now: Instant, width: usize) -> Line<'static> {
    let seconds = |time: Duration| match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    };
    let (state, style) = match app.connection(now) {
        Connection::Failing(since, why) => {
            let state = match since.as_secs() {
                0 => format!("no answer: {why}"),
                _ => format!("no answer for {}: {why}", seconds(since)),
            };
            (state, FAILED)
        }
        _ if app.paused => ("paused".to_owned(), Style::new().fg(Color::Yellow)),
        Connection::Reading => ("reading ...".to_owned(), FAINT),
        Connection::Waiting(since) => {
            let state = format!("waiting for {}", seconds(since));
            (state, Style::new().fg(Color::Yellow))
        }
        Connection::Live(took) => {
            let state = format!("answers in {} ms", took.as_millis());
            (state, Style::new().fg(Color::Green))
        }
    };
    let count = match &app.page {
        Some(page) => format!("{} scopes  ", page.total),
        None => String::new(),
    };
    // The state gets space first, then the count, then the place.
    let state = cut(&state, width);
    let left = width - state.width();
    let count = if count.width() > left {
        String::new()
    } else {
        count
    };
    let left = left - count.width();
    let place = cut(
        &format!("rcmgr top  {}", escaped(place)),
        left.saturating_sub(2),
    );
    let space = " ".repeat(left - place.width());
    Line::from(vec![
        Span::styled(place, STRONG),
        Span::raw(space),
        Span::styled(count, FAINT),
        Span::styled(state, style),
    ])
}

/// The settings, and the number of scopes found.
fn settings(app: &App) -> Line<'static> {
    let mut text = format!("sorted by {}", app.sort.describe());
    if !app.search.is_empty() {
        let search = escaped(&app.search);
        let found = match app.matched() {
            0 => "nothing".to_owned(),
            matched => matched.to_string(),
        };
        text += &format!("   search: {search}   found: {found}");
    }
    Line::styled(text, FAINT)
}

fn scopes(app: &App, table: &Table, area: Rect, buffer: &mut Buffer) {
    for (place, line) in (app.top..app.matched()).zip(area.rows()) {
        match app.at(place) {
            Some(scope) => table.row(scope, &app.rates).render(line, buffer),
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

fn keys(app: &App) -> Line<'static> {
    if let Mode::Search(_) = app.mode {
        return Line::from(vec![
            Span::styled("search: ", STRONG),
            Span::raw(escaped(&app.search)),
            Span::styled(" ", SELECTED),
            Span::styled("  Enter keeps it, Esc drops it", FAINT),
        ]);
    }
    let pause = if app.paused { "go on" } else { "pause" };
    let keys = [
        ("q", "quit"),
        ("/", "search"),
        ("s", "sort"),
        ("p", pause),
        ("Enter", "details"),
        ("?", "help"),
    ];
    let spans = keys.into_iter().flat_map(|(key, what)| {
        [
            Span::styled(key, STRONG),
            Span::styled(format!(" {what}  "), FAINT),
        ]
    });
    Line::from_iter(spans)
}
