//! Parses exposed metrics, more strictly than a Prometheus server.

// Not every test uses all of this module.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcmgr_metrics::Observer;

/// The labels of a series, by name.
pub type Labels = BTreeMap<String, String>;

/// The exposed metrics.
#[derive(Debug, Default)]
pub struct Exposition {
    /// By family.
    pub kinds: BTreeMap<String, String>,
    /// By name and labels.
    pub samples: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    /// The result of a scrape of this observer.
    pub fn of(observer: &Observer) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(observer.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).expect("text takes all");
        let body = text.strip_suffix("# EOF\n").expect("it has an end");
        Self::parse(body).unwrap_or_else(|error| panic!("{error} in\n{text}"))
    }

    /// Parses the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let mut family = String::new();
        for line in text.lines() {
            let error = |what: &str| format!("{what}: {line}");
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| error("no type"))?;
                family = name.to_owned();
                if found.kinds.insert(family.clone(), kind.into()).is_some() {
                    return Err(error("a family in two parts"));
                }
            } else if !line.starts_with("# HELP ") {
                let (name, labels, value) = sample(line).ok_or_else(|| error("no sample"))?;
                let kind = &found.kinds.get(&family).ok_or_else(|| error("no type"))?;
                let suffixes: &[&str] = match kind.as_str() {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                let suffix = name.strip_prefix(&*family);
                if !suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
                    return Err(error("not of its family"));
                }
                if found.samples.insert((name, labels), value).is_some() {
                    return Err(error("the same series twice"));
                }
            }
        }
        Ok(found)
    }

    /// The value of a series.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let owned = labels
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        self.samples.get(&(name.into(), owned.collect())).copied()
    }

    /// The values of a label in the series of a name.
    pub fn values<'a>(&'a self, name: &str, label: &str) -> BTreeSet<&'a str> {
        let series = self.samples.keys().filter(|(of, _)| of == name);
        let values = series.filter_map(|(_, labels)| labels.get(label));
        values.map(String::as_str).collect()
    }

    /// The label names of each series name.
    pub fn labels(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut found = BTreeMap::<_, BTreeSet<_>>::new();
        for (name, labels) in self.samples.keys() {
            let of_name = found.entry(&**name).or_default();
            of_name.extend(labels.keys().map(String::as_str));
        }
        found
    }
}

/// `name{label="value",...} number`
fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, behind) = rest.split_once("=\"")?;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if label.is_empty() || !label.chars().all(plain) {
                return None;
            }
            let (mut value, behind) = label_value(behind)?;
            if label == "le" {
                value = value.parse::<f64>().ok()?.to_string();
            }
            if labels.insert(label.into(), value).is_some() {
                return None;
            }
            match behind.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = behind.strip_prefix('}')?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    (!name.is_empty()).then(|| (name.to_owned(), labels, value))
}

/// The text up to the closing quote, and the rest.
fn label_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}
