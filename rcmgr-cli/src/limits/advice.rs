//! The warnings of `rcmgr limits` and `rcmgr limits check`: one line for all defaults that one set
//! field makes unreachable.

use std::path::Path;

use rcmgr_atomic::{LimitField, Resource};
use rcmgr_config::{LimitsFile, Setting, Warning, WarningKind};

use super::amount::amount;

/// A line names at most so many defaults.
const NAMED: usize = 3;

/// A warning as it is printed, without its file.
#[derive(Debug)]
pub struct Advice<'a> {
    /// The file and the line that cause it, if a file has one.
    pub set_by: Option<(&'a Path, usize)>,
    /// The text, from the setting on.
    pub text: String,
}

/// Folds the warnings about defaults that a set field makes unreachable into one for the field.
///
/// `line_of` is the file and the line that set a setting, and `is_default` says whether none does.
pub fn folded<'a>(
    warnings: &[Warning],
    place: &str,
    line_of: impl Fn(&Setting) -> Option<(&'a Path, usize)>,
    is_default: impl Fn(&Setting) -> bool,
) -> Vec<Advice<'a>> {
    let cause = |warning: &Warning| {
        let (cause, allowed) = cause(warning)?;
        let is_folded = is_default(&warning.setting) && line_of(&cause).is_some();
        is_folded.then_some((cause, allowed))
    };
    let causes: Vec<_> = warnings.iter().map(cause).collect();
    let mut advices = Vec::new();
    for (at, (warning, found)) in warnings.iter().zip(&causes).enumerate() {
        let Some((field, allowed)) = found else {
            advices.push(Advice {
                set_by: line_of(&warning.setting),
                text: format!("{place}{warning}"),
            });
            continue;
        };
        // The first default of a field has the line for all.
        if causes[..at].contains(found) {
            continue;
        }
        let of_field = warnings.iter().zip(&causes);
        let of_field = of_field.filter(|(_, other)| *other == found);
        let defaults: Vec<_> = of_field.map(|(warning, _)| &warning.setting).collect();
        advices.push(Advice {
            set_by: line_of(field),
            text: format!("{place}{field}: {}", unreachable(allowed, &defaults)),
        });
    }
    advices
}

/// The line of a setting in a file.
pub fn line_in(file: &LimitsFile, setting: &Setting) -> Option<usize> {
    match setting {
        Setting::Field(field) => file.line(&field.key, field.resource),
        Setting::Address(key) => file.address_line(key),
        Setting::DryRun => None,
    }
}

/// The field that makes a limit unreachable, and its amount.
fn cause(warning: &Warning) -> Option<(Setting, String)> {
    let resource = match &warning.setting {
        Setting::Field(field) => field.resource,
        Setting::Address(_) | Setting::DryRun => Resource::Conns,
    };
    let (key, resource, allowed) = match (&warning.kind, &warning.setting) {
        (
            WarningKind::OverParent {
                parent,
                parent_limit,
                ..
            },
            _,
        ) => (parent.clone(), resource, *parent_limit),
        (WarningKind::OverTotal { total, .. }, Setting::Field(field)) => {
            (field.key.clone(), both_directions(resource), *total)
        }
        _ => return None,
    };
    let cause = Setting::Field(LimitField { key, resource });
    Some((cause, amount(resource, allowed)))
}

/// The resource that counts both directions of `resource`.
const fn both_directions(resource: Resource) -> Resource {
    match resource {
        Resource::StreamsInbound | Resource::StreamsOutbound => Resource::Streams,
        Resource::ConnsInbound | Resource::ConnsOutbound => Resource::Conns,
        other => other,
    }
}

/// Says that defaults cannot be reached.
fn unreachable(allowed: &str, defaults: &[&Setting]) -> String {
    let named = defaults.iter().take(NAMED).map(ToString::to_string);
    let mut names: Vec<_> = named.collect();
    match defaults.len().saturating_sub(NAMED) {
        0 => {}
        1 => names.push("1 other".to_owned()),
        others => names.push(format!("{others} others")),
    }
    let last = names.pop().unwrap_or_default();
    let names = match names.as_slice() {
        [] => last,
        first => format!("{} and {last}", first.join(", ")),
    };
    let count = match defaults.len() {
        1 => "1 default".to_owned(),
        count => format!("{count} defaults"),
    };
    format!("{allowed} is below {count}, which cannot be reached: {names}")
}
