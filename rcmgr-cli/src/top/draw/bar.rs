//! Utilisation as a bar and a colour.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use super::styles::FAINT;

/// The thresholds are those of the web page.
const HIGH: f64 = 0.75;
const FULL: f64 = 0.95;

/// A bar of `width` columns; blank if there is no limit.
pub fn bar(part: Option<f64>, width: usize) -> [Span<'static>; 2] {
    let Some(part) = part else {
        return [Span::raw(" ".repeat(width)), Span::raw("")];
    };
    // A bar is empty only at zero, and full only at the limit.
    let filled = match part {
        ..=0.0 => 0,
        1.0.. => width,
        _ => ((part * width as f64).round() as usize).clamp(1, width.max(2) - 1),
    };
    let colour = match part {
        FULL.. => Color::Red,
        HIGH.. => Color::Yellow,
        _ => Color::Green,
    };
    [
        Span::styled("━".repeat(filled), Style::new().fg(colour)),
        Span::styled("─".repeat(width - filled), FAINT),
    ]
}

/// The style of the numbers for a utilisation.
pub fn style(part: Option<f64>) -> Style {
    match part {
        Some(FULL..) => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Some(HIGH..) => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(part: f64) -> usize {
        let [filled, empty] = bar(Some(part), 10);
        assert_eq!(filled.width() + empty.width(), 10);
        filled.width()
    }

    #[test]
    fn a_bar_is_full_only_at_the_limit_and_empty_only_at_zero() {
        let cases = [
            (0.0, 0),
            (1e-9, 1),
            (0.5, 5),
            (0.999, 9),
            (1.0, 10),
            (1e9, 10),
        ];
        for (part, columns) in cases {
            assert_eq!(filled(part), columns, "{part}");
        }
        let [space, rest] = bar(None, 10);
        assert_eq!(
            (space.content.trim(), space.width(), rest.width()),
            ("", 10, 0)
        );
    }
}
