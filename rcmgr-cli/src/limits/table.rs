//! Limits as a table, with a line for each scope.

use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use rcmgr_atomic::{Limit, LimitsKey, Resource};
use unicode_width::UnicodeWidthStr;

use super::amount::{printable, short_size};
use super::beside::{Beside, WAITERS};
use super::configuration::Configuration;
use crate::fitted::fitted;

/// The columns of numbers, with their headers.
const COLUMNS: [(Resource, &str); 8] = [
    (Resource::ConnsInbound, "conns\nin"),
    (Resource::ConnsOutbound, "conns\nout"),
    (Resource::Conns, "conns\ntotal"),
    (Resource::StreamsInbound, "streams\nin"),
    (Resource::StreamsOutbound, "streams\nout"),
    (Resource::Streams, "streams\ntotal"),
    (Resource::Fd, "\nfds"),
    (Resource::Memory, "\nmemory"),
];
const HEADER_LINES: usize = 2;

/// A longer name, such as a peer id, gets its own line, so that it can be copied.
const LONGEST_NAME: usize = 20;

const LEGEND: &str =
    "* set by a file   ∞ unlimited   ~ rounded   exact values and origins: --explain\n";
const NARROW_LEGEND: &str =
    "* set by a file   ∞ unlimited   ~ rounded\nexact values and origins: --explain\n";

/// The table, with a line for each entry. If the terminal has fewer `columns`, the scope and the
/// origin have a line of their own above the numbers.
pub fn table(
    configuration: &Configuration<'_>,
    entries: &[(LimitsKey, Limit)],
    columns: Option<usize>,
) -> String {
    let wide = lines(configuration, entries, true);
    let widest = wide.lines().map(UnicodeWidthStr::width).max();
    match columns {
        Some(columns) if widest > Some(columns) => lines(configuration, entries, false),
        _ => wide,
    }
}

fn lines(
    configuration: &Configuration<'_>,
    entries: &[(LimitsKey, Limit)],
    is_wide: bool,
) -> String {
    let headers = COLUMNS.iter().map(|(_, header)| *header);
    let (first, last) = if is_wide {
        ("\nscope", "\nfrom")
    } else {
        ("", "")
    };
    let mut table = columns([first].into_iter().chain(headers).chain([last]));
    for column in table.column_iter_mut().skip(1).take(COLUMNS.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }

    let mut names_above = vec![None; HEADER_LINES];
    for (key, limit) in entries {
        let name = printable(&key.to_string());
        let from = from(configuration, key);
        let (name, from, above) = match name.chars().count() {
            _ if !is_wide => {
                let above = format!("{name}  {from}");
                (String::new(), String::new(), Some(above))
            }
            ..=LONGEST_NAME => (name, from, None),
            _ => (String::new(), from, Some(name)),
        };
        names_above.push(above);
        let values = COLUMNS.map(|(resource, _)| cell(configuration, key, resource, limit));
        table.add_row([name].into_iter().chain(values).chain([from]));
    }
    let lines = names_above.into_iter().zip(table.lines());
    let lines = lines.flat_map(|(above, line)| above.into_iter().chain([line]));
    let lines: String = lines.map(|line| format!("{}\n", line.trim_end())).collect();
    lines + if is_wide { LEGEND } else { NARROW_LEGEND }
}

/// The sections below the table: the requests that may wait, if a file sets their number, the limits
/// by address, and the dry run. A section without settings is left out.
pub fn beside(
    configuration: &Configuration<'_>,
    settings: Vec<Beside>,
    columns: Option<usize>,
) -> String {
    let (dry_run, addresses): (Vec<_>, Vec<_>) = settings
        .into_iter()
        .partition(|setting| setting.enforced.is_some());
    let (mut waiters, addresses): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|setting| setting.field == WAITERS);
    if !configuration.sets_waiters() {
        waiters.clear();
    }
    let mut text = String::new();
    let mut section = |header: &[&str], settings: Vec<Beside>| {
        if settings.is_empty() {
            return;
        }
        let mut table = self::columns(header.iter().copied());
        for setting in settings {
            let field = printable(&setting.field);
            let values = [Some(setting.limit), setting.enforced, Some(setting.from)];
            table.add_row([field].into_iter().chain(values.into_iter().flatten()));
        }
        text += &format!("\n{}\n", fitted(table, columns, &[]));
    };
    section(&["requests that may wait", "value", "from"], waiters);
    section(&["limit by address", "value", "from"], addresses);
    let header = ["evaluated, not enforced", "value", "enforced", "from"];
    section(&header, dry_run);
    text
}

/// An empty table without borders.
pub fn columns<'a>(headers: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(headers);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn cell(
    configuration: &Configuration<'_>,
    key: &LimitsKey,
    resource: Resource,
    limit: &Limit,
) -> String {
    let mark = match configuration.set_by(key, resource) {
        Some(_) => "*",
        None => "",
    };
    let value = match limit.get(resource).number() {
        None => "∞".to_owned(),
        Some(bytes) if resource == Resource::Memory => short_size(bytes),
        Some(count) => count.to_string(),
    };
    format!("{mark}{value}")
}

/// The origins of an entry, in short: the files that set values, with the first and the last line,
/// and the origin of the other values.
fn from(configuration: &Configuration<'_>, key: &LimitsKey) -> String {
    let mut files: Vec<(&Path, usize, usize)> = Vec::new();
    let mut kinds = Vec::new();
    for resource in Resource::ALL {
        let Some((path, line)) = configuration.set_by(key, resource) else {
            kinds.push(configuration.origin(key, resource).short());
            continue;
        };
        match files.iter_mut().find(|(other, ..)| *other == path) {
            Some((_, first, last)) => (*first, *last) = (line.min(*first), line.max(*last)),
            None => files.push((path, line, line)),
        }
    }
    let files = files.into_iter().map(|(path, first, last)| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let lines = match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        printable(&format!("{}:{lines}", name.to_string_lossy()))
    });
    let rest = match key.class_default() {
        Some(default) if !kinds.is_empty() => Some(format!("as {default}")),
        // Mention only the most important origin.
        _ => ["budget", "scaled", "fixed"]
            .into_iter()
            .find(|kind| kinds.contains(kind))
            .map(String::from),
    };
    files.chain(rest).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rcmgr_config::Machine;

    use super::*;
    use crate::limits::defaults::DefaultsOptions;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        defaults: DefaultsOptions,
    }

    #[test]
    fn a_narrow_table_has_the_same_whole_numbers() {
        let arguments = ["limits", "--memory=64GiB", "--fds=1000000"];
        let arguments = Arguments::parse_from(arguments);
        let machine = Machine { memory: 0, fds: 0 };
        let defaults = arguments.defaults.on(&machine);
        let configuration = Configuration::read(&defaults, &[]).unwrap();
        let entries = configuration.entries(&[]);
        let numbers = |columns| {
            let text = table(&configuration, &entries, columns);
            let words = text.split_whitespace().map(str::to_owned);
            let digits = words.filter(|word| word.starts_with(|char: char| char.is_ascii_digit()));
            let widest = text.lines().map(UnicodeWidthStr::width).max().unwrap();
            (digits.collect::<Vec<_>>(), widest)
        };
        let (wide, _) = numbers(None);
        let (narrow, widest) = numbers(Some(80));
        assert_eq!(narrow, wide);
        assert!(widest <= 80, "{widest}");
    }
}
