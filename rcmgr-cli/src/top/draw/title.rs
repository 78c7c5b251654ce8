//! The lines on the server and on the settings.

use std::time::{Duration, Instant};

use ratatui::style::{Color, Style};
use ratatui::text::Line;

use super::fit::{self, Part, part};
use super::styles::{FAILED, FAINT, STRONG};
use crate::top::app::{App, Connection};
use crate::top::numbers::{count, since};
use crate::top::page::Page;
use crate::top::text::{cut, escaped, first_words};

const WARNING: Style = Style::new().fg(Color::Yellow);

/// The longest name or search that is shown in these lines, in columns.
const LONGEST: usize = 40;

/// The server and its state.
pub fn title(app: &App, place: &str, now: Instant, width: usize) -> Line<'static> {
    let (state, style) = state(app, now);
    let page = app.page.as_ref();
    let name = page.and_then(|page| page.name.as_deref());
    // The scheme is always the same.
    let short_place = place.strip_prefix("http://").unwrap_or(place);
    let scopes = page.map(|page| format!("{} scopes", count(page.total)));
    let left = vec![
        part(5, "rcmgr top", FAINT),
        part(2, escaped(short_place), STRONG),
        part(
            1,
            name.map(|name| cut(name, LONGEST)).unwrap_or_default(),
            STRONG,
        ),
        part(3, page.map(uptime).unwrap_or_default(), FAINT),
    ];
    let right = vec![
        part(4, scopes.unwrap_or_default(), FAINT),
        part(0, first_words(&state, width), style),
    ];
    fit::line(left, right, width)
}

/// How long the server has been observed.
pub fn uptime(page: &Page) -> String {
    let uptime = page.uptime_seconds;
    uptime.map_or_else(String::new, |seconds| {
        format!("up {}", since(seconds_of(seconds)))
    })
}

fn state(app: &App, now: Instant) -> (String, Style) {
    match app.connection(now) {
        Connection::Failing(time, why) => {
            let state = match time.as_secs() {
                0 => format!("no answer: {why}"),
                _ => format!("no answer for {}: {why}", since(time)),
            };
            (state, FAILED)
        }
        _ if app.paused => ("paused".to_owned(), WARNING),
        Connection::Reading => ("reading ...".to_owned(), FAINT),
        Connection::Waiting(time) => (format!("waiting for {}", since(time)), WARNING),
        Connection::Live(took) => {
            let state = format!("answers in {} ms", count(took.as_millis() as u64));
            (state, Style::new().fg(Color::Green))
        }
    }
}

/// The settings, the number of scopes found, and what an operator has to know of the server.
pub fn settings(app: &App, width: usize) -> Line<'static> {
    let mut left = vec![part(2, format!("sorted by {}", app.sort.argument()), FAINT)];
    if !app.search.is_empty() {
        let found = match app.matched() {
            0 => "nothing".to_owned(),
            matched => count(matched),
        };
        let found = format!("found: {found}");
        let search = cut(&escaped(&app.search), width.saturating_sub(20).min(LONGEST));
        left.push(part(0, format!(" search: {search}   {found}"), FAINT));
    }
    let mut right = Vec::new();
    // A text that is printed has this in lines of their own.
    if let Some(page) = app.page.as_ref().filter(|_| width != fit::EVERYTHING) {
        let over_releases = page.over_releases.filter(|&number| number > 0);
        let over_releases = over_releases.map(|number| format!("{} over-releases", count(number)));
        right.push(part(1, over_releases.unwrap_or_default(), FAILED));
        right.push(reload(page));
    }
    fit::line(left, right, width)
}

/// The state of the reloading of limits.
fn reload(page: &Page) -> Part {
    let Some(reload) = &page.reload else {
        return part(3, "", FAINT);
    };
    match reload.reloads {
        _ if reload.error.is_some() => part(1, "the limits' file is wrong: i shows why", FAILED),
        0 => part(3, "limits not reloaded yet", FAINT),
        1 => part(3, "limits reloaded once", FAINT),
        times => part(3, format!("limits reloaded {} times", count(times)), FAINT),
    }
}

/// A number of seconds from a server, which may be anything.
fn seconds_of(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
