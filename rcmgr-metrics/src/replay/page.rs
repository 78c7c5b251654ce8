//! The pieces of a web page.

use std::fmt::Display;

/// HTML as it comes to be.
#[derive(Default)]
pub struct Page(String);

impl Page {
    pub fn into_html(self) -> String {
        self.0
    }

    /// Adds what is HTML already.
    pub fn add(&mut self, html: impl Display) {
        self.0.push_str(&format!("{html}\n"));
    }

    /// Adds text.
    pub fn element(&mut self, name: &str, class: &str, text: &str) {
        let text = escape(text);
        match class {
            "" => self.add(format_args!("<{name}>{text}</{name}>")),
            _ => self.add(format_args!("<{name} class=\"{class}\">{text}</{name}>")),
        }
    }

    /// Adds a table, of which the first column has names.
    pub fn table<R: IntoIterator<Item = String>>(
        &mut self,
        titles: &[&str],
        rows: impl Iterator<Item = R>,
    ) {
        self.add("<div class=\"scroll\"><table>\n<thead><tr>");
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
        self.add("</tbody>\n</table></div>");
    }
}

/// Text as it may stand in a page, also between quotes. Names come from a trace, and what can't be
/// seen is shown as a box: it may turn the direction of a line, or hide what is there.
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

/// Control characters, and those that change the direction of text.
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
