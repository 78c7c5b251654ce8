//! The styles of the view.

use ratatui::style::{Color, Modifier, Style};

/// Dim instead of grey: in some themes grey has no contrast to the background.
pub const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
pub const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);
pub const FAILED: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
