//! The requests that wait for room.

use ratatui::text::Line;
use unicode_width::UnicodeWidthStr;

use super::bar;
use super::fit::{self, EVERYTHING, part};
use super::styles::{FAINT, STRONG};
use crate::top::numbers::{count, rate, seconds};
use crate::top::page::{Detail, Page, Queue};
use crate::top::rates::Rates;
use crate::top::text::{cut, first_words};

const GAP: &str = "  ";
/// A name has at least this width, if there is a column to remove for it.
const NAME: usize = 16;
/// The widest line with a number at its right end: further right it would be hard to find.
const WIDEST: usize = 60;

fn requests(number: u64) -> String {
    match number {
        1 => "1 request".to_owned(),
        _ => format!("{} requests", count(number)),
    }
}

/// The line above the scopes; `None` if no request has ever waited, or the server does not say.
pub fn summary(page: &Page, rates: &Rates, width: usize) -> Option<Line<'static>> {
    let totals = page.wait_totals.filter(|totals| totals.begun > 0)?;
    let waits = page.waiting_requests > 0;
    let style = if waits { bar::style(Some(0.8)) } else { FAINT };
    let now = match waits {
        true => requests(page.waiting_requests),
        false => "nothing now".to_owned(),
    };
    // The queues come with the longest wait first.
    let first = page.waiting.first().filter(|_| waits);
    let longest = first.map(|queue| format!("longest {}", seconds(queue.longest_seconds)));
    let place = first.map(|queue| format!("{} of {}", queue.field(), queue.scope));
    let granted = rates
        .waits()
        .map(|[granted, ..]| format!("granted {}", rate(granted)));
    let left = vec![
        part(0, "waiting", style),
        part(1, now, style),
        part(2, longest.unwrap_or_default(), style),
        part(4, place.unwrap_or_default(), style),
        part(5, granted.unwrap_or_default(), FAINT),
    ];
    let all = format!("{} in all", count(totals.begun));
    Some(fit::line(left, vec![part(3, all, FAINT)], width))
}

/// The section in the view of the server.
pub fn lines(page: &Page, rates: &Rates, width: usize) -> Vec<Line<'static>> {
    let Some(totals) = page.wait_totals.filter(|totals| totals.begun > 0) else {
        return Vec::new();
    };
    let title = "requests that waited for room";
    let mut lines = vec![
        Line::default(),
        Line::styled(first_words(title, width), STRONG),
    ];
    let width_of_counts = width.min(WIDEST);
    let outcomes = ["granted", "refused", "given up"].into_iter();
    for (at, (what, number)) in outcomes.zip(totals.ended()).enumerate() {
        let now = rates.waits().map(|rates| rate(rates[at]));
        let left = vec![part(2, what, FAINT)];
        let right = vec![
            part(0, now.unwrap_or_default(), FAINT),
            part(1, format!("{} in all", count(number)), STRONG),
        ];
        lines.push(fit::line(left, right, width_of_counts));
    }
    if let Some(average) = totals.average_seconds() {
        let left = vec![part(1, "waited on average", FAINT)];
        let right = vec![part(0, seconds(average), STRONG)];
        lines.push(fit::line(left, right, width_of_counts));
    }
    let queues = queues(page, width);
    if !queues.is_empty() {
        lines.push(Line::default());
        lines.extend(queues);
    }
    lines
}

/// The queues that the server lists, as a table. What does not fit is left out: the amount first.
pub fn queues(page: &Page, width: usize) -> Vec<Line<'static>> {
    if page.waiting.is_empty() {
        return Vec::new();
    }
    let titles = ["WAITED", "REQUESTS", "AMOUNT", "RESOURCE"].map(str::to_owned);
    let cells = |queue: &Queue| {
        [
            seconds(queue.longest_seconds),
            count(queue.requests),
            queue.amount(),
            queue.field().to_owned(),
        ]
    };
    let mut rows = vec![titles];
    rows.extend(page.waiting.iter().map(cells));
    let widths: [usize; 4] = std::array::from_fn(|at| {
        let widths = rows.iter().map(|row| row[at].width());
        widths.max().unwrap_or(0)
    });
    // The columns that are left out, until the names have enough space.
    let layouts: [&[usize]; 4] = [&[0, 1, 2, 3], &[0, 1, 3], &[0, 3], &[0]];
    let used =
        |columns: &[usize]| -> usize { columns.iter().map(|&at| widths[at] + GAP.len()).sum() };
    let columns = layouts
        .into_iter()
        .find(|columns| used(columns).saturating_add(NAME) <= width)
        .unwrap_or(&[]);
    let name = width.saturating_sub(used(columns));
    let names = page.waiting.iter().map(|queue| &*queue.scope);
    let names = ["SCOPE"].into_iter().chain(names);
    let line = |(row, scope): ([String; 4], &str)| {
        let mut line = String::new();
        for &at in columns {
            line += &match at {
                3 => format!("{:<1$}{GAP}", row[at], widths[at]),
                _ => format!("{:>1$}{GAP}", row[at], widths[at]),
            };
        }
        line + &cut(scope, name)
    };
    let mut lines: Vec<_> = rows
        .into_iter()
        .zip(names)
        .map(line)
        .map(Line::from)
        .collect();
    lines[0] = std::mem::take(&mut lines[0]).style(STRONG);
    let more = page
        .waiting_queues
        .saturating_sub(page.waiting.len() as u64);
    if more > 0 {
        lines.push(Line::styled(format!("and {} more", count(more)), FAINT));
    }
    if width != EVERYTHING {
        lines.retain(|line| line.width() <= width);
    }
    lines
}

/// The queues of a scope and of its spans.
pub fn of_scope(detail: &Detail, width: usize) -> Vec<Line<'static>> {
    let style = bar::style(Some(0.8));
    let queue = |queue: &Queue| {
        // The name of a span; that of the scope itself stands above.
        let is_of_scope = queue.scope == detail.scope.name.shown;
        let span = if is_of_scope { "" } else { &*queue.scope };
        let amount = match queue.is_memory() {
            true => format!("for {}", queue.amount()),
            false => String::new(),
        };
        let parts = [
            part(0, format!("waiting for {}", queue.field()), style),
            part(0, requests(queue.requests), style),
            part(0, amount, style),
            part(
                0,
                format!("longest {}", seconds(queue.longest_seconds)),
                style,
            ),
            part(0, span, FAINT),
        ];
        fit::flow(parts, "", width)
    };
    detail.waiting.iter().flat_map(queue).collect()
}
