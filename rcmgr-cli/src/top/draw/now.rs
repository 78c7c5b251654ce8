//! What refuses now. It is at the top, because it is what an operator under attack looks for.

use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::bar;
use super::fit::{self, part};
use super::styles::{FAINT, STRONG};
use super::waiting;
use crate::top::app::App;
use crate::top::numbers::{count, rate};
use crate::top::page::{Addresses, Page};
use crate::top::rates::Rates;
use crate::top::refusing::{Refusing, refusing};
use crate::top::text::cut;

/// A name has at least this width, if there is a column to remove for it.
const NAME: usize = 16;
/// The number of lines that leaves space for little.
const FEW: usize = 2;
const GAP: &str = "  ";
/// Nothing is refused yet.
const WOULD_REFUSE: Style = Style::new().fg(Color::Yellow);

/// The section, with at most `most` lines.
pub fn lines(app: &App, page: &Page, width: usize, most: usize) -> Vec<Line<'static>> {
    let found = refusing(page, &app.rates);
    let mut lines = vec![heading(app, found.as_deref(), width)];
    // Where lines are few, past waits are not worth one.
    let waits = page.waiting_requests > 0 || most > FEW;
    let waiting = waiting::summary(page, &app.rates, width).filter(|_| waits);
    lines.extend(waiting);
    // Most servers have no limits by address.
    let addresses = page.addresses.as_ref().filter(|of| of.counts() != [0; 3]);
    lines.extend(addresses.map(|of| by_address(of, &app.rates, width)));
    lines.truncate(most);
    let mut found = found.unwrap_or_default();
    found.truncate(most - lines.len());
    lines.extend(rows(&found, width));
    lines
}

fn heading(app: &App, found: Option<&[Refusing]>, width: usize) -> Line<'static> {
    let (text, style) = match found {
        None if app.failing() => ("unknown: no answer".to_owned(), FAINT),
        None => ("known after the next update".to_owned(), FAINT),
        Some([]) => ("nothing".to_owned(), FAINT),
        Some(found) => {
            let rates = found.iter().map(|row| row.rate);
            (rate(rates.sum()), bar::style(Some(1.0)))
        }
    };
    let left = vec![part(0, "REFUSED NOW", STRONG), part(1, text, style)];
    let dry_run = app.rates.dry_run().map(|rates| {
        let dry_run = rates.iter().sum::<f64>();
        let style = if dry_run > 0.0 { WOULD_REFUSE } else { FAINT };
        part(
            2,
            format!("the dry run would refuse {}", rate(dry_run)),
            style,
        )
    });
    fit::line(left, dry_run.into_iter().collect(), width)
}

/// The refusals by address, all since the start and now.
fn by_address(addresses: &Addresses, rates: &Rates, width: usize) -> Line<'static> {
    let [by_rate, by_subnet, asked] = match rates.addresses() {
        Some(rates) => rates.map(Some),
        None => [None; 3],
    };
    let now = |now: Option<f64>, what: &str| match now {
        Some(now) => format!("{} {what}", rate(now)),
        None => String::new(),
    };
    let refused = by_rate
        .zip(by_subnet)
        .map(|(by_rate, by_subnet)| by_rate + by_subnet);
    let style = match refused {
        Some(0.0) | None => FAINT,
        Some(_) => Style::new(),
    };
    let left = vec![
        part(0, "by address", style),
        part(1, refused.map(rate).unwrap_or_default(), style),
        part(3, now(by_rate, "by rate"), FAINT),
        part(4, now(by_subnet, "by subnet"), FAINT),
        part(5, now(asked, "asked to verify"), FAINT),
    ];
    let total = format!("{} in all", count(addresses.all_refused()));
    fit::line(left, vec![part(2, total, FAINT)], width)
}

/// The columns beside rate and name.
#[derive(Debug, Clone, Copy)]
enum Beside {
    UsageAndSetting,
    Setting,
    Field,
    Nothing,
}

fn rows(found: &[Refusing], width: usize) -> Vec<Line<'static>> {
    let widest = |width_of: fn(&Refusing) -> usize| found.iter().map(width_of).max().unwrap_or(0);
    let rates = widest(|row| rate(row.rate).width());
    let names = widest(|row| row.name.width());
    let usages = widest(|row| row.usage.width());
    let settings = widest(|row| row.setting.width());
    let fields = widest(|row| row.field().width());
    // The name gets the space that is left, if it is enough.
    let gap = GAP.len();
    let layouts = [
        (Beside::UsageAndSetting, usages + settings + 2 * gap),
        (Beside::Setting, settings + gap),
        (Beside::Field, fields + gap),
        (Beside::Nothing, 0),
    ];
    let name_in = |beside: usize| width.checked_sub(rates + gap + beside);
    let fitting = layouts.into_iter().find_map(|(beside, columns)| {
        let name = name_in(columns).filter(|&name| name >= names.min(NAME))?;
        Some((beside, name))
    });
    let Some((beside, name)) = fitting.or_else(|| Some((Beside::Nothing, name_in(0)?))) else {
        return Vec::new();
    };
    let name = name.min(names);
    let row = |row: &Refusing| {
        let shown = cut(&row.name, name);
        let space = " ".repeat(name - shown.width());
        let field = row.field();
        let (usage, setting) = match beside {
            Beside::UsageAndSetting => (format!("{GAP}{:>usages$}", row.usage), &*row.setting),
            Beside::Setting => (String::new(), &*row.setting),
            Beside::Field => (String::new(), &*field),
            Beside::Nothing => (String::new(), ""),
        };
        Line::from(vec![
            Span::styled(format!("{:>rates$}", rate(row.rate)), bar::style(Some(1.0))),
            Span::raw(format!("{GAP}{shown}{space}")),
            Span::styled(usage, FAINT),
            Span::raw(format!("{GAP}{setting}")),
        ])
    };
    found.iter().map(row).collect()
}
