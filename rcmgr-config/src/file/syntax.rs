//! Explanations of texts that are neither JSON nor TOML: comments in JSON, YAML, one syntax under
//! the name of the other.

use serde::de::IgnoredAny;
use toml::de::DeTable;

/// Why a text is not JSON, if that is a common mistake. The line and column of the parser's error
/// count from 1; the column is in bytes.
pub(super) fn of_json(text: &str, line: usize, column: usize) -> Option<String> {
    if let Some(encoding) = encoding(text) {
        return Some(encoding.into());
    }
    let is_toml = DeTable::parse(text).is_ok_and(|document| !document.into_inner().is_empty());
    if is_toml {
        return Some("it is TOML, so its name must end in .toml".into());
    }
    if is_yaml(text) {
        return Some("it looks like YAML; write the limits in JSON or TOML".into());
    }
    let before = offset(text, line, column)?;
    let rest = text.get(before..)?;
    let comment = ["//", "/*", "#"]
        .into_iter()
        .any(|start| rest.starts_with(start));
    if comment {
        return Some(format!(
            "a comment (column {column}): JSON has no comments; remove it, or use TOML"
        ));
    }
    let closes = rest.starts_with(['}', ']']);
    if closes && text[..before].trim_end().ends_with(',') {
        return Some(format!(
            "trailing comma before column {column}: JSON has no trailing commas; remove it"
        ));
    }
    None
}

/// Why a text is not TOML, if that is a common mistake.
pub(super) fn of_toml(text: &str) -> Option<String> {
    if let Some(encoding) = encoding(text) {
        return Some(encoding.into());
    }
    let looks_like_json = text.trim_start().starts_with('{');
    if looks_like_json && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Some("it is JSON, so its name must end in .json".into());
    }
    is_yaml(text).then(|| "it looks like YAML; write the limits in JSON or TOML".into())
}

/// UTF-16 without a mark is valid UTF-8 with a zero in every other byte.
fn encoding(text: &str) -> Option<&'static str> {
    let zeros = text.bytes().filter(|byte| *byte == 0).count();
    (zeros > 1 && zeros >= text.len() / 3).then_some("it looks like UTF-16; save the file as UTF-8")
}

/// Whether the first line with a key is `name:` alone, or the text starts as YAML documents do.
fn is_yaml(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| {
        let key = line.strip_suffix(':').unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        line == "---" || (!key.is_empty() && key.bytes().all(plain))
    })
}

/// The position of the byte at a line and column.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let start = match line {
        0 | 1 => 0,
        _ => text.match_indices('\n').nth(line - 2)?.0 + 1,
    };
    Some(start + column.checked_sub(1)?)
}
