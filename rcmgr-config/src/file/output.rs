//! The tables to write, and their text in JSON and TOML.

/// A value to write.
pub(super) enum Output {
    Table(Table),
    /// Strings.
    List(Vec<String>),
    /// A number or a boolean, the same in both syntaxes.
    Number(String),
    /// A number of bytes: a string in JSON, as go-libp2p writes it.
    Bytes(u64),
    Word(String),
    /// A table of numbers, in TOML on one line.
    Inline(Vec<(&'static str, String)>),
}

/// Names and values in order.
#[derive(Default)]
pub(super) struct Table(Vec<(String, Output)>);

impl Output {
    pub(super) fn word(word: &str) -> Self {
        Self::Word(word.to_owned())
    }
}

impl From<Table> for Output {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl Table {
    pub(super) fn add(&mut self, name: impl Into<String>, value: impl Into<Output>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds a value to the table of this name, which is added if the last name is another one.
    pub(super) fn add_within(
        &mut self,
        table: &str,
        name: impl Into<String>,
        value: impl Into<Output>,
    ) {
        if let Some((last, Output::Table(within))) = self.0.last_mut()
            && last == table
        {
            return within.add(name, value);
        }
        let mut within = Self::default();
        within.add(name, value);
        self.add(table, within);
    }

    pub(super) fn to_json(&self) -> String {
        json_table(self, 0) + "\n"
    }

    pub(super) fn to_toml(&self) -> String {
        let mut tables = Vec::new();
        toml_tables(self, "", &mut tables);
        tables.join("\n")
    }
}

fn json_table(table: &Table, depth: usize) -> String {
    let members = table.0.iter();
    json_object(
        members.map(|(name, value)| (name.as_str(), json(value, depth + 1))),
        depth,
    )
}

fn json(value: &Output, depth: usize) -> String {
    match value {
        Output::Table(table) => json_table(table, depth),
        Output::List(entries) => list(entries),
        Output::Number(number) => number.clone(),
        Output::Bytes(bytes) => quoted(&bytes.to_string()),
        Output::Word(word) => quoted(word),
        Output::Inline(members) => {
            let members = members.iter();
            json_object(members.map(|(name, number)| (*name, number.clone())), depth)
        }
    }
}

fn json_object<'a>(members: impl Iterator<Item = (&'a str, String)>, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let lines: Vec<String> = members
        .map(|(name, value)| format!("{indent}  {}: {value}", quoted(name)))
        .collect();
    match lines.is_empty() {
        true => "{}".into(),
        false => format!("{{\n{}\n{indent}}}", lines.join(",\n")),
    }
}

/// The text of each table: a header and a line for each value, then the tables within it. A table
/// that has only tables needs no header.
fn toml_tables(table: &Table, path: &str, texts: &mut Vec<String>) {
    let is_table = |(_, value): &&(String, Output)| matches!(value, Output::Table(_));
    let values: String = table
        .0
        .iter()
        .filter(|member| !is_table(member))
        .map(|(name, value)| format!("{} = {}\n", key(name), toml(value)))
        .collect();
    let only_tables = !table.0.is_empty() && values.is_empty();
    match path {
        // The values of the file itself have no header.
        "" if values.is_empty() => {}
        "" => texts.push(values),
        _ if only_tables => {}
        _ => texts.push(format!("[{path}]\n{values}")),
    }
    for (name, value) in &table.0 {
        if let Output::Table(table) = value {
            let path = match path {
                "" => key(name),
                _ => format!("{path}.{}", key(name)),
            };
            toml_tables(table, &path, texts);
        }
    }
}

fn toml(value: &Output) -> String {
    match value {
        // Tables have their own headers.
        Output::Table(_) => String::new(),
        Output::List(entries) => list(entries),
        Output::Number(number) => number.clone(),
        Output::Bytes(bytes) => bytes.to_string(),
        Output::Word(word) => quoted(word),
        Output::Inline(members) => {
            let members = members.iter();
            let members: Vec<_> = members
                .map(|(name, number)| format!("{name} = {number}"))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

/// A list on one line, valid in both syntaxes.
fn list(entries: &[String]) -> String {
    let entries: Vec<_> = entries.iter().map(|entry| quoted(entry)).collect();
    format!("[{}]", entries.join(", "))
}

/// A key of TOML, in quotes where it needs them.
fn key(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !name.is_empty() && name.bytes().all(plain) {
        true => name.to_owned(),
        false => quoted(name),
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
