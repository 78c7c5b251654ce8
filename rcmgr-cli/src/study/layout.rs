//! The layout of the study's tables on the terminal.

use std::fmt::Write;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::fitted::fitted;
use crate::output::wrapped;

/// Writes the head of a section.
pub fn section(text: &mut String, name: &str, about: &str, columns: Option<usize>) {
    let line = format!("{name}: {about}\n");
    let line = columns.map_or_else(|| line.clone(), |columns| wrapped(&line, columns));
    writeln!(text, "{line}").expect("text takes anything");
}

/// Writes a table that fits the terminal.
pub fn write_table(text: &mut String, table: Table, columns: Option<usize>, droppable: &[usize]) {
    let lines = fitted(table, columns, droppable);
    writeln!(text, "{lines}\n").expect("text takes anything");
}

/// Three significant digits.
pub fn nanos(nanos: f64) -> String {
    match nanos {
        ..10.0 => format!("{nanos:.2}"),
        ..100.0 => format!("{nanos:.1}"),
        _ => format!("{nanos:.0}"),
    }
}

pub fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// An empty table with columns of names on the left, and numbers on the right.
pub fn lined<T: Into<comfy_table::Row>>(header: T, names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
