//! The last minute of a scope as a line of blocks.

use ratatui::style::{Color, Style};
use ratatui::text::Span;

use super::styles::FAINT;
use crate::top::rates::{MOMENTS, Minute, Moment};

/// The columns of a line.
pub const WIDTH: usize = MOMENTS;

const BLOCKS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The utilisation in the last minute, red where something was refused.
pub fn spark(minute: Option<&Minute>) -> Vec<Span<'static>> {
    match minute {
        Some(minute) => minute.moments().map(block).collect(),
        None => vec![Span::raw(" ".repeat(WIDTH))],
    }
}

fn block(moment: Option<Moment>) -> Span<'static> {
    let Some(Moment { part, refused }) = moment else {
        return Span::raw(" ");
    };
    let block = match (part, refused) {
        // Without limits only the refusals of other scopes could be shown: there is no height.
        (None, _) => " ",
        (Some(part), _) => {
            let height = (part.clamp(0.0, 1.0) * (BLOCKS.len() - 1) as f64).round();
            BLOCKS[height as usize]
        }
    };
    let style = match refused {
        true => Style::new().fg(Color::Red),
        false => FAINT,
    };
    Span::styled(block, style)
}
