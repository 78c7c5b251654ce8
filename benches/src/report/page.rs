//! The parts of a web page.

use std::fmt::{Display, Write};

/// A page under construction.
#[derive(Default)]
pub struct Page(String);

impl Page {
    pub fn into_html(self) -> String {
        self.0
    }

    /// Adds HTML as it is.
    pub fn add(&mut self, html: impl Display) {
        writeln!(self.0, "{html}").expect("text takes anything");
    }

    /// Adds an element with escaped text.
    pub fn element(&mut self, name: &str, text: &str) {
        self.add(format_args!("<{name}>{}</{name}>", escape(text)));
    }

    pub fn paragraph(&mut self, class: &str, text: &str) {
        self.add(format_args!("<p class=\"{class}\">{}</p>", escape(text)));
    }
}

/// A table: each row has a name on the left, then cells.
pub struct Table(Page);

/// A cell, with a class of the style sheet or an empty one.
pub struct Cell {
    text: String,
    class: &'static str,
}

impl Cell {
    pub fn of_class(class: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, class }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::of_class("", text)
    }
}

impl Table {
    pub fn new(titles: impl Iterator<Item = String>) -> Self {
        let mut page = Page::default();
        page.add("<div class=\"scroll\"><table>\n<thead><tr>");
        titles.for_each(|title| page.element("th", &title));
        page.add("</tr></thead>\n<tbody>");
        Self(page)
    }

    pub fn row(&mut self, name: &str, cells: impl Iterator<Item = impl Into<Cell>>) {
        self.row_of_class("", name, cells);
    }

    pub fn row_of_class(
        &mut self,
        class: &'static str,
        name: &str,
        cells: impl Iterator<Item = impl Into<Cell>>,
    ) {
        self.0.add(format_args!("<tr{}>", attribute(class)));
        self.0.element("th", name);
        for cell in cells {
            let Cell { text, class } = cell.into();
            let text = escape(&text);
            self.0
                .add(format_args!("<td{}>{text}</td>", attribute(class)));
        }
        self.0.add("</tr>");
    }

    pub fn finish(mut self) -> String {
        self.0.add("</tbody>\n</table></div>");
        self.0.0
    }
}

fn attribute(class: &str) -> String {
    match class {
        "" => String::new(),
        class => format!(" class=\"{class}\""),
    }
}

/// Escapes text for a page, also for use between quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_not_break_out() {
        assert_eq!(
            escape(r#"<a b="c">&'"#),
            "&lt;a b=&quot;c&quot;&gt;&amp;&#39;"
        );
    }
}
