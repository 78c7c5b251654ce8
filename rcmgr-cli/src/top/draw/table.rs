//! The table of scopes.
//!
//! The name gets the space that the numbers leave. If that is too little, columns are removed one
//! after another.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use rcmgr_atomic::{LimitValue, Resource};
use unicode_width::UnicodeWidthStr;

use super::bar;
use crate::top::page::{Page, Scope};
use crate::top::rates::Rates;
use crate::top::text::{cut, percent, rate, short};

/// Columns are removed until names have this width.
const NAME: usize = 16;
/// Bars beside every number are removed until names have this width.
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
    Fds,
    Refused,
    Rate,
    Peak,
}

/// The columns from left to right.
const COLUMNS: [Column; 8] = [
    Column::Fullest,
    Column::Memory,
    Column::Conns,
    Column::Streams,
    Column::Fds,
    Column::Refused,
    Column::Rate,
    Column::Peak,
];

/// The order in which columns are removed.
const GIVING_WAY: [Column; 7] = [
    Column::Peak,
    Column::Fds,
    Column::Rate,
    Column::Refused,
    Column::Streams,
    Column::Conns,
    Column::Memory,
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
            Self::Fds => "FDS",
            Self::Refused => "REFUSED",
            Self::Rate => "/S",
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
            Self::Fds => &[Resource::Fd],
            Self::Refused | Self::Rate | Self::Peak => &[],
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
            Self::Refused => scope.all_refused().to_string(),
            Self::Rate => rates.of(scope).map_or_else(|| "-".to_owned(), rate),
            Self::Peak => short(Resource::Memory, scope.peak.memory),
            _ => self.used_of_limit(scope),
        }
    }

    /// Usage and limit of the fullest limit; without a limit, the total usage.
    fn used_of_limit(self, scope: &Scope) -> String {
        let resources = self.resources();
        let nearest = scope.fullest(resources).map(|(resource, _)| resource);
        let resource = nearest.unwrap_or(resources[0]);
        let used = short(resource, scope.used(resource));
        let direction = match resource {
            Resource::ConnsInbound | Resource::StreamsInbound => " in",
            Resource::ConnsOutbound | Resource::StreamsOutbound => " out",
            _ => "",
        };
        match scope.limit.get(resource) {
            LimitValue::Limited(most) => format!("{used}/{}{direction}", short(resource, most)),
            LimitValue::Unlimited => used,
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
            let widest = texts.max().unwrap_or(0);
            (column, widest.max(column.title().width()))
        };
        let names = scopes.iter().map(|scope| scope.name.width());
        let longest = names.max().unwrap_or(0).max("SCOPE".len());
        let mut table = Self {
            name: 0,
            bars: Bars::Each,
            columns: COLUMNS.map(widest).into(),
        };
        // Start with everything, and remove parts until the name has enough space.
        if !table.leaves(longest.min(NAME_BESIDE_BARS), width) {
            table.bars = Bars::Fullest;
        }
        let mut giving_way = GIVING_WAY.into_iter();
        while !table.leaves(longest.min(NAME), width) {
            // The bar is removed last.
            match giving_way.next() {
                Some(column) => table.columns.retain(|(shown, _)| *shown != column),
                None if table.bars == Bars::None => break,
                None => table.bars = Bars::None,
            }
        }
        table.name = width
            .saturating_sub(table.numbers())
            .min(longest.max(ROOMY_NAME));
        table
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

    /// The row of a scope.
    pub fn row(&self, scope: &Scope, rates: &Rates) -> Line<'static> {
        let mut spans = vec![Span::raw(self.padded(&scope.name))];
        for (column, width) in &self.columns {
            let part = scope.fullest(column.resources()).map(|(_, part)| part);
            let mut style = bar::style(part);
            spans.push(Span::raw(GAP));
            if column.has_bar(self.bars) {
                spans.extend(bar::bar(part, BAR));
                spans.push(Span::raw(" "));
            }
            if *column == Column::Rate && rates.of(scope).is_some_and(|rate| rate > 0.0) {
                // Highlight scopes that refuse now.
                style = bar::style(Some(1.0));
            }
            let text = column.text(scope, rates);
            spans.push(Span::styled(format!("{text:>width$}"), style));
        }
        Line::from(spans).style(Style::new())
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
