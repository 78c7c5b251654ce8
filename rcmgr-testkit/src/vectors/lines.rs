//! Files with one JSON value a line.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The lines of a file of JSON, numbered from 1.
///
/// # Errors
///
/// The file and the line that cannot be read.
pub fn json_lines(file: &Path) -> Result<Vec<(usize, Value)>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let parse = |(line, text): (usize, &str)| {
        let json = serde_json::from_str(text);
        let json = json.map_err(|error| format!("{}:{line}: {error}", file.display()))?;
        Ok((line, json))
    };
    (1..).zip(text.lines()).map(parse).collect()
}
