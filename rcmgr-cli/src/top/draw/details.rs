//! The details of the selected scope.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use rcmgr_atomic::{LimitValue, Resource};

use super::bar;
use super::styles::{FAINT, STRONG};
use crate::top::app::App;
use crate::top::page::Scope;
use crate::top::text::{cut, exact, percent};

/// The name, and a line for each of the eight resources.
pub const HEIGHT: u16 = 1 + RESOURCES.len() as u16;

const RESOURCES: [(Resource, &str); 8] = [
    (Resource::Memory, "memory"),
    (Resource::Fd, "fds"),
    (Resource::Conns, "conns"),
    (Resource::ConnsInbound, "conns in"),
    (Resource::ConnsOutbound, "conns out"),
    (Resource::Streams, "streams"),
    (Resource::StreamsInbound, "streams in"),
    (Resource::StreamsOutbound, "streams out"),
];
const LABEL: usize = 11;
const BAR: usize = 12;

/// Draws the details, if there are lines and a selected scope.
pub fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let mut lines = area.rows();
    let (Some(scope), Some(title)) = (app.selected_scope(), lines.next()) else {
        return;
    };
    let width = usize::from(area.width);
    let name = cut(&scope.name, width.saturating_sub(5));
    let rule = width.saturating_sub(Line::raw(&*name).width() + 4);
    let rule = [
        Span::styled("── ", FAINT),
        Span::styled(name, STRONG),
        Span::styled(format!(" {}", "─".repeat(rule)), FAINT),
    ];
    Line::from_iter(rule).render(title, buffer);
    let rows = RESOURCES.map(|(resource, label)| cells(scope, resource, label));
    let widest = |cell: fn(&Cells) -> &String| {
        let widths = rows.iter().map(|row| cell(row).len());
        widths.max().unwrap_or(0)
    };
    let widths = [
        widest(|row| &row.used),
        widest(|row| &row.limit),
        widest(|row| &row.percent),
        widest(|row| &row.peak),
    ];
    for (row, line) in rows.into_iter().zip(lines) {
        row.line(widths).render(line, buffer);
    }
}

struct Cells {
    label: &'static str,
    part: Option<f64>,
    used: String,
    limit: String,
    percent: String,
    peak: String,
    refused: String,
}

fn cells(scope: &Scope, resource: Resource, label: &'static str) -> Cells {
    let part = scope.part(resource);
    let known = |number: Option<u64>, word: &str| match number {
        Some(number) => format!("{word} {}", exact(resource, number)),
        // Only counted by direction.
        None => String::new(),
    };
    let refused = scope.refused(resource);
    Cells {
        label,
        part,
        used: exact(resource, scope.used(resource)),
        limit: match scope.limit.get(resource) {
            LimitValue::Limited(most) => format!("of {}", exact(resource, most)),
            LimitValue::Unlimited => "no limit".to_owned(),
        },
        percent: part.map(percent).unwrap_or_default(),
        peak: known(scope.peak(resource), "peak"),
        refused: refused.map_or_else(String::new, |count| format!("refused {count}")),
    }
}

impl Cells {
    fn line(self, [used, limit, percent, peak]: [usize; 4]) -> Line<'static> {
        let [full, empty] = bar::bar(self.part, BAR);
        let numbers = format!(
            "  {:>used$} {:<limit$}  {:>percent$}",
            self.used, self.limit, self.percent,
        );
        Line::from(vec![
            Span::styled(format!("{:<LABEL$} ", self.label), FAINT),
            full,
            empty,
            Span::styled(numbers, bar::style(self.part)),
            Span::raw(format!("  {:<peak$}  {}", self.peak, self.refused)),
        ])
    }
}
