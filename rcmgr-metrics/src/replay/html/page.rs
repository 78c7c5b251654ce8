//! The parts of a web page.

use std::fmt::Display;

/// A page under construction.
#[derive(Default)]
pub struct Page(String);

impl Page {
    pub fn into_html(self) -> String {
        self.0
    }

    /// Adds HTML as it is.
    pub fn add(&mut self, html: impl Display) {
        self.0.push_str(&format!("{html}\n"));
    }

    /// Adds an element with escaped text.
    pub fn element(&mut self, name: &str, class: &str, text: &str) {
        let text = escape(text);
        match class {
            "" => self.add(format_args!("<{name}>{text}</{name}>")),
            _ => self.add(format_args!("<{name} class=\"{class}\">{text}</{name}>")),
        }
    }

    /// Adds a table whose first column has names.
    pub fn table<R: IntoIterator<Item = String>>(
        &mut self,
        titles: &[&str],
        rows: impl Iterator<Item = R>,
    ) {
        self.add("<table>\n<thead><tr>");
        titles
            .iter()
            .for_each(|title| self.element("th", "", title));
        self.add("</tr></thead>\n<tbody>");
        for row in rows {
            self.add("<tr>");
            for (at, cell) in row.into_iter().enumerate() {
                self.element(if at == 0 { "th" } else { "td" }, "", &cell);
            }
            self.add("</tr>");
        }
        self.add("</tbody>\n</table>");
    }
}

/// Escapes text for a page, also for use between quotes. Names come from a trace. Invisible
/// characters are shown as a box, because they may change the direction of a line or hide text.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other if is_invisible(other) => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Whether it is a control character, or one that changes the direction of text.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_not_break_out() {
        assert_eq!(
            escape("<a b=\"c\">&'\n\u{202e}x"),
            "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\u{fffd}\u{fffd}x"
        );
    }
}
