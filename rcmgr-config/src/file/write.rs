//! Writes limits as JSON and TOML.

use rcmgr_core::{LimitValue, LimitsKey, Resource};

use crate::{PartialLimit, PartialLimits};

impl PartialLimits {
    /// JSON as go-libp2p writes it, except for line breaks. Unset fields and scopes without a set
    /// field are omitted; named entries are always written. `Memory` is a decimal string.
    ///
    /// [`from_json`](Self::from_json) reads the same limits from it.
    ///
    /// ```
    /// use rcmgr_config::PartialLimits;
    /// use rcmgr_core::LimitValue;
    ///
    /// let mut limits = PartialLimits::default();
    /// limits.conn.fd = Some(LimitValue::Limited(1));
    /// limits.conn.memory = Some(LimitValue::Limited(4096));
    /// let expected = r#"{
    ///   "Conn": {
    ///     "FD": 1,
    ///     "Memory": "4096"
    ///   }
    /// }
    /// "#;
    /// assert_eq!(limits.to_json(), expected);
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        // Entries are sorted by key, so those of one class follow each other.
        let entries: Vec<_> = self.entries().collect();
        let scopes = entries
            .chunk_by(|(one, _), (next, _)| one.scope() == next.scope())
            .flat_map(|scope| match scope {
                [(key, limit)] if key.name().is_none() => {
                    (!limit.is_default()).then(|| (key.scope(), json_limit(limit, 1)))
                }
                named => named.first().map(|(key, _)| {
                    let entries = named.iter().map(|(key, limit)| {
                        (
                            quoted(&key.name().unwrap_or_default()),
                            json_limit(limit, 2),
                        )
                    });
                    (key.scope(), json_object(entries, 1))
                }),
            })
            .map(|(scope, json)| (quoted(scope), json));
        json_object(scopes, 0) + "\n"
    }

    /// TOML with the names of the JSON. `Memory` is a number of bytes.
    ///
    /// [`from_toml`](Self::from_toml) reads the same limits from it.
    ///
    /// ```
    /// use rcmgr_config::PartialLimits;
    /// use rcmgr_core::LimitValue;
    ///
    /// let mut limits = PartialLimits::default();
    /// limits.system.conns = Some(LimitValue::Limited(100));
    /// limits.protocol.entry("/a/1.0".into()).or_default().streams = Some(LimitValue::Unlimited);
    /// let expected = r#"[System]
    /// Conns = 100
    ///
    /// [Protocol."/a/1.0"]
    /// Streams = "unlimited"
    /// "#;
    /// assert_eq!(limits.to_toml(), expected);
    /// ```
    #[must_use]
    pub fn to_toml(&self) -> String {
        let tables: Vec<String> = self
            .entries()
            .filter(|(key, limit)| key.name().is_some() || !limit.is_default())
            .map(|(key, limit)| {
                let fields = fields(limit).map(|(resource, value)| {
                    format!("{} = {}\n", resource.field_name(), plain_value(value))
                });
                toml_header(&key) + &fields.collect::<String>()
            })
            .collect();
        tables.join("\n")
    }
}

/// The set fields, in the order of limits files.
fn fields(limit: &PartialLimit) -> impl Iterator<Item = (Resource, LimitValue)> {
    Resource::IN_FILES
        .into_iter()
        .filter_map(|resource| limit.get(resource).map(|value| (resource, value)))
}

fn json_limit(limit: &PartialLimit, depth: usize) -> String {
    let fields = fields(limit).map(|(resource, value)| {
        let value = match value.number() {
            Some(bytes @ 1..) if resource == Resource::Memory => quoted(&bytes.to_string()),
            _ => plain_value(value),
        };
        (quoted(resource.field_name()), value)
    });
    json_object(fields, depth)
}

fn json_object(members: impl Iterator<Item = (String, String)>, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let lines: Vec<String> = members
        .map(|(name, value)| format!("{indent}  {name}: {value}"))
        .collect();
    match lines.is_empty() {
        true => "{}".into(),
        false => format!("{{\n{}\n{indent}}}", lines.join(",\n")),
    }
}

fn toml_header(key: &LimitsKey) -> String {
    let bare = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !name.is_empty() && name.bytes().all(plain)
    };
    let scope = key.scope();
    match key.name() {
        None => format!("[{scope}]\n"),
        Some(name) if bare(&name) => format!("[{scope}.{name}]\n"),
        Some(name) => format!("[{scope}.{}]\n", quoted(&name)),
    }
}

fn plain_value(value: LimitValue) -> String {
    match value.number() {
        Some(0) => quoted("blockAll"),
        Some(number) => number.to_string(),
        None => quoted("unlimited"),
    }
}

/// A quoted string, valid in both formats. The escapes are the same, except that DEL must be
/// escaped in TOML and may be in JSON.
fn quoted(text: &str) -> String {
    use std::fmt::Write;

    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            char if char.is_ascii_control() => {
                write!(quoted, "\\u{:04x}", u32::from(char))
                    .expect("writing to a string cannot fail");
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}
