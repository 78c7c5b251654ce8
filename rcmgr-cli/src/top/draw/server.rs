//! The server: its state, the refusals by address, the networks that are refused most, and the
//! requests that wait.

use ratatui::style::Style;
use ratatui::text::Line;
use rcmgr_atomic::Resource;
use unicode_width::UnicodeWidthStr;

use super::bar;
use super::fit::{self, part};
use super::styles::{FAILED, FAINT, STRONG};
use super::title::uptime;
use super::waiting;
use crate::top::numbers::{count, rate};
use crate::top::page::{Addresses, DryRun, Network, Page, Reload};
use crate::top::rates::Rates;
use crate::top::text::{first_words, wrapped};

const GAP: &str = "  ";
/// The widest line with a number at its right end: further right it would be hard to find.
const WIDEST: usize = 80;

/// The view. Each line shows what fits.
pub fn lines(page: &Page, rates: &Rates, width: usize) -> Vec<Line<'static>> {
    let mut lines = state(page, width);
    lines.push(Line::default());
    match &page.addresses {
        Some(addresses) => lines.extend(totals(addresses, rates, width)),
        None => lines.push(fact("by address", "the server does not say", FAINT, width)),
    }
    let networks = networks(page, rates, width);
    if !networks.is_empty() {
        lines.push(Line::default());
        lines.extend(networks);
    }
    lines.extend(waiting::lines(page, rates, width));
    lines.extend(
        page.dry_run
            .iter()
            .flat_map(|run| dry_run(run, rates, width)),
    );
    lines
}

/// The state of the server, as far as it says.
pub fn state(page: &Page, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(name) = &page.name {
        let name = wrapped(name, width).into_iter();
        lines.extend(name.map(|line| Line::styled(line, STRONG)));
    }
    if page.uptime_seconds.is_some() {
        lines.push(Line::styled(first_words(&uptime(page), width), FAINT));
    }
    if let Some(over_releases) = page.over_releases {
        let style = if over_releases > 0 { FAILED } else { FAINT };
        lines.push(fact("over-releases", &count(over_releases), style, width));
    }
    let reload = page.reload.iter();
    lines.extend(reload.flat_map(|reload| self::reload(reload, width)));
    lines
}

fn fact(what: &str, value: &str, style: Style, width: usize) -> Line<'static> {
    let parts = vec![part(1, what, FAINT), part(0, value, style)];
    fit::line(parts, Vec::new(), width)
}

fn reload(reload: &Reload, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(file) = &reload.file {
        lines.extend(
            wrapped(&format!("limits from {file}"), width)
                .into_iter()
                .map(Line::from),
        );
    }
    let counts = vec![
        part(0, format!("reloaded {}", count(reload.reloads)), FAINT),
        part(1, format!("found wrong {}", count(reload.failures)), FAINT),
    ];
    lines.push(fit::line(counts, Vec::new(), width));
    if let Some(error) = &reload.error {
        let error = wrapped(error, width);
        lines.extend(error.into_iter().map(|line| Line::styled(line, FAILED)));
    }
    lines
}

/// The page does not have the limits, so it is not known which of these are set.
const BY_SUBNET: &str = "Addresses.Subnets or Addresses.Networks";

fn totals(addresses: &Addresses, rates: &Rates, width: usize) -> Vec<Line<'static>> {
    let now = |at: usize| rates.addresses().map(|rates| rates[at]);
    let counters = [
        ("refused by rate", "Addresses.Rates"),
        ("refused by subnet", BY_SUBNET),
        ("asked to verify", ""),
    ];
    let counts = addresses.counts();
    let counters = counters.into_iter().enumerate();
    let mut lines: Vec<_> = counters
        .map(|(at, (what, setting))| counter(what, setting, counts[at], now(at), width))
        .collect();
    let left = vec![part(1, "connections that count now", FAINT)];
    let right = vec![part(0, count(addresses.permits), STRONG)];
    lines.push(fit::line(left, right, width.min(WIDEST)));
    lines
}

fn counter(
    what: &str,
    setting: &str,
    number: u64,
    now: Option<f64>,
    width: usize,
) -> Line<'static> {
    let left = vec![part(2, what, FAINT), part(3, setting, FAINT)];
    let right = vec![
        part(0, now.map(rate).unwrap_or_default(), style(now)),
        part(1, format!("{} in all", count(number)), STRONG),
    ];
    fit::line(left, right, width.min(WIDEST))
}

/// What the limits of the dry run would have refused.
fn dry_run(dry_run: &DryRun, rates: &Rates, width: usize) -> Vec<Line<'static>> {
    let fields = Resource::COUNTED.map(Resource::field_name).into_iter();
    let names = fields.chain(["Addresses.Rates", BY_SUBNET]);
    let title = "the dry run would have refused";
    let mut lines = vec![
        Line::default(),
        Line::styled(first_words(title, width), STRONG),
    ];
    for (at, (name, number)) in names.zip(dry_run.counts()).enumerate() {
        let now = rates.dry_run().map(|rates| rates[at]);
        if number > 0 {
            lines.push(counter(name, "", number, now, width));
        }
    }
    if lines.len() == 2 {
        lines.push(Line::styled("nothing", FAINT));
    }
    lines
}

/// The networks that are refused most, as far as the server names them.
pub fn networks(page: &Page, rates: &Rates, width: usize) -> Vec<Line<'static>> {
    let networks = page.addresses.as_ref().map(|of| &*of.most_refused);
    let networks = networks.unwrap_or_default();
    if networks.is_empty() {
        return Vec::new();
    }
    let cells = |network: &Network| {
        let now = rates
            .network(network)
            .map(|[by_rate, by_subnet]| by_rate + by_subnet);
        let texts = [
            network.network.clone(),
            now.map_or_else(|| "-".to_owned(), rate),
            count(network.all_refused()),
            count(network.by_rate),
            count(network.by_subnet),
        ];
        (texts, style(now))
    };
    let titles = ["NETWORK", "NOW", "REFUSED", "BY RATE", "BY SUBNET"].map(str::to_owned);
    let mut rows = vec![(titles, STRONG)];
    rows.extend(networks.iter().map(cells));
    let widths: [usize; 5] = std::array::from_fn(|at| {
        let widths = rows.iter().map(|(texts, _)| texts[at].width());
        widths.max().unwrap_or(0)
    });
    // Every row shows the same columns: as many as fit into the width.
    let ends = widths.iter().scan(0, |end, width| {
        *end += width;
        let shown = *end;
        *end += GAP.len();
        Some(shown)
    });
    let columns = ends.take_while(|&end| end <= width).count();
    let line = |(texts, style): ([String; 5], Style)| {
        let mut line = String::new();
        for (at, text) in texts.into_iter().take(columns).enumerate() {
            match at {
                0 => line += &format!("{text:<0$}", widths[0]),
                _ => line += &format!("{GAP}{text:>0$}", widths[at]),
            }
        }
        Line::styled(line, style)
    };
    rows.into_iter().map(line).collect()
}

fn style(now: Option<f64>) -> Style {
    match now {
        Some(now) if now > 0.0 => bar::style(Some(1.0)),
        _ => Style::new(),
    }
}
