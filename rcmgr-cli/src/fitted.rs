//! Fits tables into the columns of a terminal. A number is never cut.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};
use unicode_width::UnicodeWidthStr;

/// The text of a table with lines of at most `columns`, if that is possible.
///
/// If the table is wider, cells are wrapped between words. If words are too long for that, the
/// columns in `droppable` are left out, the first one first, and the text says so.
pub fn fitted(mut table: Table, columns: Option<usize>, droppable: &[usize]) -> String {
    let Some(columns) = columns else {
        return table.trim_fmt();
    };
    let names: Vec<_> = table.column_iter().map(|column| column.index).collect();
    let names: Vec<_> = names.into_iter().map(|at| name(&table, at)).collect();
    let mut dropped = Vec::new();
    let mut droppable = droppable.iter();
    loop {
        if let Some(text) = wrapped(&mut table, columns) {
            return text + &note(&dropped);
        }
        let Some((at, column)) = droppable
            .next()
            .and_then(|&at| Some((at, table.column_mut(at)?)))
        else {
            // Wrapping by the terminal is better than a cut number.
            return table.trim_fmt() + &note(&dropped);
        };
        column.set_constraint(ColumnConstraint::Hidden);
        dropped.push(names[at].as_str());
    }
}

fn note(dropped: &[&str]) -> String {
    match dropped {
        [] => String::new(),
        _ => format!("\n(left out for the width: {})", dropped.join(", ")),
    }
}

/// The header of a column.
fn name(table: &Table, at: usize) -> String {
    let cell = table.column_cells_with_header_iter(at).next().flatten();
    let words = cell.map_or(String::new(), comfy_table::Cell::content);
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with wrapped cells; `None` if a word would be cut.
fn wrapped(table: &mut Table, columns: usize) -> Option<String> {
    let natural = table.trim_fmt();
    let natural_width = natural.lines().map(UnicodeWidthStr::width).max()?;
    if natural_width <= columns {
        return Some(natural);
    }
    let visible: Vec<_> = table
        .column_iter()
        .filter(|column| !column.is_hidden())
        .map(|column| (column.index, usize::from(column.padding_width())))
        .collect();
    let widest = |at: usize, split: fn(&str) -> Vec<&str>| {
        let cells = table.column_cells_with_header_iter(at).flatten();
        let parts = cells.map(|cell| {
            let content = cell.content();
            split(&content)
                .into_iter()
                .map(UnicodeWidthStr::width)
                .max()
        });
        parts.flatten().max().unwrap_or(0)
    };
    let wanted: Vec<_> = visible
        .iter()
        .map(|(at, _)| widest(*at, |text| text.lines().collect()))
        .collect();
    let mut widths: Vec<_> = visible
        .iter()
        .map(|(at, _)| widest(*at, |text| text.split_whitespace().collect()))
        .collect();
    let around = natural_width - wanted.iter().sum::<usize>().min(natural_width);
    let mut left = columns.checked_sub(around + widths.iter().sum::<usize>())?;
    // The column that lacks most gets the next cell of the width.
    while left > 0 {
        let lacks = |at: usize| wanted[at] - widths[at];
        let most = (0..widths.len()).max_by_key(|&at| lacks(at))?;
        widths[most] += 1;
        left -= 1;
        if wanted[most] < widths[most] {
            widths[most] -= 1;
            break;
        }
    }
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(columns.try_into().unwrap_or(u16::MAX));
    for ((at, padding), width) in visible.into_iter().zip(widths) {
        let width = Width::Fixed((width + padding).try_into().unwrap_or(u16::MAX));
        let column = table.column_mut(at)?;
        column.set_constraint(ColumnConstraint::Absolute(width));
    }
    Some(table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use comfy_table::presets::ASCII_MARKDOWN;

    use super::*;

    const WORDS: [&str; 4] = ["peer:127.0.1.16,", "133,564", "1,234,567,890", "128.25"];

    fn table() -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["scope", "the refused", "peak of limit", "load"]);
        table.add_row([
            "peer:127.0.1.16, highest of all",
            "133,564",
            "5 of 1,234,567,890",
            "128.25",
        ]);
        table
    }

    #[test]
    fn a_narrow_table_has_every_number_or_none_of_its_digits() {
        for columns in 20..200 {
            let text = fitted(table(), Some(columns), &[3, 2]);
            let is_word = |token: &&str| token.chars().any(|char| char.is_ascii_digit());
            for token in text.split_whitespace().filter(is_word) {
                assert!(
                    WORDS.contains(&token) || token == "5",
                    "{columns}: {token} in\n{text}"
                );
            }
            let dropped = text.contains("left out for the width: load");
            assert_eq!(dropped, !text.contains("128.25"), "{text}");
            if columns >= 48 {
                let widest = text.lines().map(UnicodeWidthStr::width).max();
                assert!(widest <= Some(columns), "{columns}:\n{text}");
            }
        }
    }

    #[test]
    fn a_table_that_fits_is_unchanged() {
        assert_eq!(fitted(table(), None, &[3]), table().trim_fmt());
        assert_eq!(fitted(table(), Some(200), &[3]), table().trim_fmt());
    }
}
