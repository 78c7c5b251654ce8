//! The details of a scope: usage, limit, peak and refusals of each resource, and the requests that
//! wait for them.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use rcmgr_atomic::{LimitValue, Resource};
use unicode_width::UnicodeWidthStr;

use super::fit::{self, part};
use super::styles::{FAILED, FAINT, STRONG};
use super::{bar, spark, waiting};
use crate::top::app::App;
use crate::top::numbers::{amount, count, percent, rate};
use crate::top::page::{Detail, Scope};
use crate::top::rates::Rates;
use crate::top::text::{cut, first_words, wrapped};

/// The lines for the name and the eight resources, if each resource has one line.
pub const HEIGHT: u16 = 1 + RESOURCES.len() as u16;

/// Each total is above its two directions.
const RESOURCES: [Resource; 8] = [
    Resource::Memory,
    Resource::Fd,
    Resource::Conns,
    Resource::ConnsInbound,
    Resource::ConnsOutbound,
    Resource::Streams,
    Resource::StreamsInbound,
    Resource::StreamsOutbound,
];
const BAR: usize = 12;
const GAP: &str = "  ";

/// The details of the selected scope on a screen of a width. The name is whole.
pub fn lines(app: &App, width: usize) -> Vec<Line<'static>> {
    let Some(selected) = app.selected_scope() else {
        return vec![Line::styled("no scope is selected", FAINT)];
    };
    let detail = app.detail.as_ref();
    let is_gone = matches!(detail, Some(None));
    let detail = detail.and_then(Option::as_ref);
    let detail = detail.filter(|detail| detail.scope.name == selected.name);
    let mut lines = of_scope(
        detail.map_or(selected, |detail| &detail.scope),
        &app.rates,
        width,
    );
    if is_gone {
        let text = "the scope is gone; these were its last numbers";
        lines.insert(1, Line::styled(first_words(text, width), FAILED));
    }
    if let Some(detail) = detail {
        lines.extend(waiting::of_scope(detail, width));
        lines.push(Line::default());
        lines.extend(origins(detail, width));
    }
    lines
}

/// Where each limit comes from.
fn origins(detail: &Detail, width: usize) -> Vec<Line<'static>> {
    let limited = RESOURCES
        .into_iter()
        .filter(|&resource| detail.scope.part(resource).is_some());
    let origin = |resource: Resource| {
        let origin = detail.origins.get(resource.as_str())?;
        let setting = origin.setting.as_deref().unwrap_or(resource.field_name());
        Some(wrapped(&format!("{setting}: {}", origin.from), width))
    };
    let lines = limited.filter_map(origin).flatten();
    lines.map(|line| Line::styled(line, FAINT)).collect()
}

fn of_scope(scope: &Scope, rates: &Rates, width: usize) -> Vec<Line<'static>> {
    let name = wrapped(&scope.name.shown, width).into_iter();
    let mut lines: Vec<_> = name.map(|line| Line::styled(line, STRONG)).collect();
    if let Some(minute) = rates.minute(scope).filter(|_| width >= 40) {
        let mut line = Line::styled("last minute  ", FAINT);
        line.extend(spark::spark(Some(minute)));
        lines.push(line);
    }
    lines.extend(resources(scope, rates, width));
    lines
}

/// The details with a rule above them, if each resource fits into a line.
pub fn panel(scope: &Scope, rates: &Rates, width: usize) -> Option<Vec<Line<'static>>> {
    let resources = resources(scope, rates, width);
    if resources.len() > RESOURCES.len() {
        return None;
    }
    let name = cut(&scope.name.shown, width.saturating_sub(5));
    let rule = width.saturating_sub(name.width() + 4);
    let rule = [
        Span::styled("── ", FAINT),
        Span::styled(name, STRONG),
        Span::styled(format!(" {}", "─".repeat(rule)), FAINT),
    ];
    let mut lines = vec![Line::from_iter(rule)];
    lines.extend(resources);
    Some(lines)
}

fn resources(scope: &Scope, rates: &Rates, width: usize) -> Vec<Line<'static>> {
    let rows = RESOURCES.map(|resource| Cells::of(scope, rates, resource));
    let widest = |cell: fn(&Cells) -> &String| {
        let widths = rows.iter().map(|row| cell(row).width());
        widths.max().unwrap_or(0)
    };
    let widths = [
        widest(|row| &row.label),
        widest(|row| &row.used),
        widest(|row| &row.limit),
        widest(|row| &row.percent),
        widest(|row| &row.peak),
        widest(|row| &row.refused),
        widest(|row| &row.rate),
        widest(|row| &row.dry_run),
    ];
    for has_bar in [true, false] {
        let lines = rows.iter().map(|row| row.line(widths, has_bar));
        let lines: Vec<_> = lines.collect();
        if lines.iter().all(|line| line.width() <= width) {
            return lines;
        }
    }
    let lines = rows.iter().flat_map(|row| row.lines(width));
    lines.collect()
}

/// The text of a resource.
struct Cells {
    part: Option<f64>,
    refuses: bool,
    label: String,
    used: String,
    limit: String,
    percent: String,
    peak: String,
    refused: String,
    rate: String,
    dry_run: String,
}

impl Cells {
    fn of(scope: &Scope, rates: &Rates, resource: Resource) -> Self {
        let part = scope.part(resource);
        let counted = Resource::COUNTED.iter().position(|one| *one == resource);
        let now = counted.and_then(|at| Some(rates.by_resource(scope)?[at]));
        // What is only counted by direction has no text for both together.
        let known = |number: Option<u64>, text: &dyn Fn(u64) -> String| match number {
            Some(number) => text(number),
            None => String::new(),
        };
        let dry_run = scope
            .refused_by_dry_run(resource)
            .filter(|&number| number > 0);
        Self {
            part,
            refuses: now.is_some_and(|now| now > 0.0),
            label: resource.field_name().to_owned(),
            used: amount(resource, scope.used(resource)),
            limit: match scope.limit.get(resource) {
                LimitValue::Limited(most) => format!("of {}", amount(resource, most)),
                LimitValue::Unlimited => "no limit".to_owned(),
            },
            percent: part.map(percent).unwrap_or_default(),
            peak: known(scope.peak(resource), &|peak| {
                format!("peak {}", amount(resource, peak))
            }),
            refused: known(scope.refused(resource), &|refused| {
                format!("refused {}", count(refused))
            }),
            rate: now.map(rate).unwrap_or_default(),
            dry_run: known(dry_run, &|refused| {
                let now = counted.and_then(|at| Some(rates.dry_run_of(scope)?[at]));
                let now = now.map(|now| format!(", {}", rate(now)));
                format!("dry run {}{}", count(refused), now.unwrap_or_default())
            }),
        }
    }

    fn rate_style(&self) -> Style {
        match self.refuses {
            true => bar::style(Some(1.0)),
            false => FAINT,
        }
    }

    fn line(&self, widths: [usize; 8], has_bar: bool) -> Line<'static> {
        let [label, used, limit, percent, peak, refused, rate, dry_run] = widths;
        let mut line = Line::styled(format!("{:<label$}", self.label), FAINT);
        if has_bar {
            line.push_span(Span::raw(GAP));
            line.extend(bar::bar(self.part, BAR));
        }
        let numbers = format!(
            "{GAP}{:>used$} {:<limit$}{GAP}{:>percent$}",
            self.used, self.limit, self.percent,
        );
        line.push_span(Span::styled(numbers, bar::style(self.part)));
        let counts = format!("{GAP}{:<peak$}{GAP}{:<refused$}", self.peak, self.refused);
        line.push_span(Span::raw(counts));
        if rate > 0 {
            line.push_span(Span::styled(
                format!("{GAP}{:>rate$}", self.rate),
                self.rate_style(),
            ));
        }
        if dry_run > 0 {
            line.push_span(Span::raw(format!("{GAP}{}", self.dry_run)));
        }
        line
    }

    /// For narrow screens: usage, and below it peak and refusals, on as many lines as needed.
    fn lines(&self, width: usize) -> Vec<Line<'static>> {
        let style = bar::style(self.part);
        let usage = format!("{} {}", self.used, self.limit);
        let above = [
            part(0, &*self.label, FAINT),
            part(0, usage, style),
            part(0, &*self.percent, style),
        ];
        let below = [
            part(0, &*self.peak, FAINT),
            part(0, &*self.refused, FAINT),
            part(0, &*self.rate, self.rate_style()),
            part(0, &*self.dry_run, FAINT),
        ];
        let mut lines = fit::flow(above, "", width);
        lines.extend(fit::flow(below, GAP, width));
        lines
    }
}
