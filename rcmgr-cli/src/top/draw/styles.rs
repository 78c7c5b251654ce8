//! The styles of text that has a meaning of its own.

use ratatui::style::{Color, Modifier, Style};

/// Dim, and not grey: some themes have no grey that can be told from what is behind it.
pub const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
pub const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);
pub const FAILED: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
