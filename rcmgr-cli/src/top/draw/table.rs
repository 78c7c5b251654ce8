//! The table of scopes.
//!
//! Each column in turn gets space, if it leaves enough for the names. A number is never cut.

use ratatui::text::{Line, Span};
use rcmgr_atomic::{LimitValue, Resource};
use unicode_width::UnicodeWidthStr;

use super::fit::{EVERYTHING, first_that_fits};
use super::styles::FAINT;
use super::{bar, spark};
use crate::top::numbers::{amount, amount_of, count, percent, rate, size};
use crate::top::page::{Page, Scope};
use crate::top::rates::Rates;
use crate::top::text::cut;

/// Columns leave this width for names.
const NAME: usize = 16;
/// Bars beside every number leave this width for names.
const NAME_BESIDE_BARS: usize = 30;
/// If there is space, the name has at least this width, so that the numbers do not move when long
/// names come and go.
const ROOMY_NAME: usize = 32;
const BAR: usize = 8;
const GAP: &str = "  ";

/// A column of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// The utilisation of the fullest limit.
    Fullest,
    Memory,
    Conns,
    Streams,
    Fd,
    Refused,
    Rate,
    /// What the dry run would refuse.
    DryRun,
    /// The last minute.
    Minute,
    Peak,
}

/// The columns from left to right.
const COLUMNS: [Column; 10] = [
    Column::Fullest,
    Column::Memory,
    Column::Conns,
    Column::Streams,
    Column::Fd,
    Column::Refused,
    Column::Rate,
    Column::DryRun,
    Column::Minute,
    Column::Peak,
];

/// Something that is shown if there is space.
#[derive(Debug, Clone, Copy)]
enum Extra {
    Column(Column),
    /// A bar for the fullest limit. It only repeats a number.
    Bar,
}

/// The order in which space is given, and the width that is left for names then. The rate of
/// refusals says most about an attack: it comes first.
const EXTRAS: [(Extra, usize); 11] = [
    (Extra::Column(Column::Rate), NAME),
    (Extra::Column(Column::Fullest), NAME),
    (Extra::Column(Column::Refused), NAME),
    (Extra::Column(Column::DryRun), NAME),
    (Extra::Column(Column::Conns), NAME),
    (Extra::Bar, NAME),
    (Extra::Column(Column::Memory), NAME),
    (Extra::Column(Column::Streams), NAME),
    (Extra::Column(Column::Minute), NAME),
    (Extra::Column(Column::Fd), ROOMY_NAME),
    (Extra::Column(Column::Peak), ROOMY_NAME),
];

/// The numbers that have a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bars {
    /// Each number with a limit.
    Each,
    /// Only the fullest limit.
    Fullest,
    None,
}

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::Fullest => "FULL",
            Self::Memory => "MEMORY",
            Self::Conns => "CONNS",
            Self::Streams => "STREAMS",
            Self::Fd => "FD",
            Self::Refused => "REFUSED",
            Self::Rate => "NOW",
            Self::DryRun => "DRY RUN",
            Self::Minute => "LAST MINUTE",
            Self::Peak => "PEAK MEMORY",
        }
    }

    /// The limits of a column, the total first.
    const fn resources(self) -> &'static [Resource] {
        match self {
            Self::Fullest => &Resource::ALL,
            Self::Memory => &[Resource::Memory],
            Self::Conns => &[
                Resource::Conns,
                Resource::ConnsInbound,
                Resource::ConnsOutbound,
            ],
            Self::Streams => &[
                Resource::Streams,
                Resource::StreamsInbound,
                Resource::StreamsOutbound,
            ],
            Self::Fd => &[Resource::Fd],
            Self::Refused | Self::Rate | Self::DryRun | Self::Minute | Self::Peak => &[],
        }
    }

    const fn has_bar(self, bars: Bars) -> bool {
        match self {
            Self::Fullest => matches!(bars, Bars::Fullest),
            _ => matches!(bars, Bars::Each) && !self.resources().is_empty(),
        }
    }

    fn text(self, scope: &Scope, rates: &Rates) -> String {
        match self {
            Self::Fullest => {
                let fullest = scope.fullest(self.resources());
                fullest.map_or_else(|| "-".to_owned(), |(_, part)| percent(part))
            }
            Self::Refused => count(scope.all_refused()),
            Self::Rate => rates.of(scope).map_or_else(|| "-".to_owned(), rate),
            Self::DryRun => {
                let rates = rates.dry_run_of(scope);
                rates.map_or_else(|| "-".to_owned(), |rates| rate(rates.iter().sum()))
            }
            // Drawn, not written.
            Self::Minute => String::new(),
            Self::Peak => size(scope.peak.memory),
            _ => self.used_of_limit(scope),
        }
    }

    /// Usage and limit of the fullest limit; without a limit, the total usage.
    fn used_of_limit(self, scope: &Scope) -> String {
        let resources = self.resources();
        let nearest = scope.fullest(resources).map(|(resource, _)| resource);
        let resource = nearest.unwrap_or(resources[0]);
        let used = scope.used(resource);
        let direction = match resource {
            Resource::ConnsInbound | Resource::StreamsInbound => " in",
            Resource::ConnsOutbound | Resource::StreamsOutbound => " out",
            _ => "",
        };
        match scope.limit.get(resource) {
            LimitValue::Limited(most) => amount_of(resource, used, most) + direction,
            LimitValue::Unlimited => amount(resource, used),
        }
    }
}

/// The layout of a page.
#[derive(Debug)]
pub struct Table {
    name: usize,
    bars: Bars,
    /// The columns, with the width of their text.
    columns: Vec<(Column, usize)>,
}

impl Table {
    /// The layout of a page on a screen of this width.
    pub fn of(page: &Page, rates: &Rates, width: usize) -> Self {
        let pinned = [&page.system, &page.transient].into_iter().flatten();
        let scopes: Vec<_> = pinned.chain(&page.scopes).collect();
        let widest = |column: Column| {
            let texts = scopes.iter().map(|scope| column.text(scope, rates).width());
            let widest = match column {
                Column::Minute => spark::WIDTH,
                _ => texts.max().unwrap_or(0),
            };
            (column, widest.max(column.title().width()))
        };
        let names = scopes.iter().map(|scope| scope.name.shown.width());
        let longest = names.max().unwrap_or(0).max("SCOPE".len());
        let mut table = Self {
            name: 0,
            bars: Bars::None,
            columns: Vec::new(),
        };
        for (extra, name) in EXTRAS {
            let with = match extra {
                // A text is printed once, after an interval: there is no minute.
                Extra::Column(Column::Minute) if width == EVERYTHING => continue,
                Extra::Column(Column::DryRun) if page.dry_run.is_none() => continue,
                Extra::Column(column) => table.with(widest(column)),
                Extra::Bar => table.with_bars(Bars::Fullest),
            };
            // On a narrow screen half of the width is enough for names.
            if !with.leaves(longest.min(name).min(width / 2), width) {
                break;
            }
            table = with;
        }
        // Without its column, the fullest limit would have no bar.
        let shows_all = |of: &Self| of.columns.iter().any(|(column, _)| *column == Column::Fd);
        let with = table.with_bars(Bars::Each);
        if shows_all(&table) && with.leaves(longest.min(NAME_BESIDE_BARS), width) {
            table = with;
        }
        table.name = width
            .saturating_sub(table.numbers())
            .min(longest.max(ROOMY_NAME));
        table
    }

    fn with(&self, column: (Column, usize)) -> Self {
        let is_shown = |one: &Column| self.columns.iter().any(|(shown, _)| shown == one);
        let mut columns = self.columns.clone();
        // Columns are in the order of their declaration.
        let at = COLUMNS.iter().take_while(|one| **one != column.0);
        columns.insert(at.filter(|one| is_shown(one)).count(), column);
        Self { columns, ..*self }
    }

    fn with_bars(&self, bars: Bars) -> Self {
        let columns = self.columns.clone();
        Self {
            bars,
            columns,
            ..*self
        }
    }

    /// Whether the numbers leave this width for the name.
    fn leaves(&self, name: usize, width: usize) -> bool {
        width.saturating_sub(self.numbers()) >= name
    }

    /// The width of all numbers.
    fn numbers(&self) -> usize {
        let widths = self.columns.iter().map(|(column, text)| {
            let bar = if column.has_bar(self.bars) {
                BAR + 1
            } else {
                0
            };
            GAP.len() + bar + text
        });
        widths.sum()
    }

    /// The titles of the columns.
    pub fn header(&self) -> Line<'static> {
        let mut text = self.padded("SCOPE");
        for (column, width) in &self.columns {
            let bar = if column.has_bar(self.bars) {
                BAR + 1
            } else {
                0
            };
            text += GAP;
            text += &format!("{:>1$}", column.title(), width + bar);
        }
        Line::from(text)
    }

    /// The row for the scopes that are not shown, because they have no limits or there are too many.
    pub fn rest(&self, scopes: u64, is_fold: bool) -> Line<'static> {
        let scopes = count(scopes);
        let texts = match is_fold {
            true => [
                format!("{scopes} scopes without limits: f shows them"),
                format!("{scopes} without limits"),
            ],
            false => [
                format!("{scopes} more scopes: / finds them"),
                format!("{scopes} more"),
            ],
        };
        Line::styled(first_that_fits(texts, self.name + self.numbers()), FAINT)
    }

    /// The row of a scope.
    pub fn row(&self, scope: &Scope, rates: &Rates) -> Line<'static> {
        let mut spans = vec![Span::raw(self.padded(&scope.name.shown))];
        for (column, width) in &self.columns {
            let part = scope.fullest(column.resources()).map(|(_, part)| part);
            let mut style = bar::style(part);
            spans.push(Span::raw(GAP));
            if *column == Column::Minute {
                spans.extend(spark::spark(rates.minute(scope)));
                continue;
            }
            if column.has_bar(self.bars) {
                spans.extend(bar::bar(part, BAR));
                spans.push(Span::raw(" "));
            }
            if *column == Column::Rate {
                // Highlight scopes that refuse now.
                style = match rates.of(scope) {
                    Some(rate) if rate > 0.0 => bar::style(Some(1.0)),
                    _ => FAINT,
                };
            }
            let text = column.text(scope, rates);
            spans.push(Span::styled(format!("{text:>width$}"), style));
        }
        Line::from(spans)
    }

    fn padded(&self, name: &str) -> String {
        let mut name = cut(name, self.name);
        name.extend(std::iter::repeat_n(
            ' ',
            self.name.saturating_sub(name.width()),
        ));
        name
    }
}
