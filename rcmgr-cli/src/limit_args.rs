//! Parses limits on the command line: `system.conns=1500,peer.memory=64MiB`.
//!
//! The settings change existing limits, in the given order.

use std::str::FromStr;

use rcmgr_atomic::{GIB, KIB, Limit, LimitValue, Limits, MIB};

/// Settings of single limits, separated by commas.
#[derive(Debug, Clone, Default)]
pub struct LimitSettings(Vec<Setting>);

#[derive(Debug, Clone)]
struct Setting {
    scope: ScopeIn,
    field: FieldOf,
    value: LimitValue,
}

type ScopeIn = fn(&mut Limits) -> &mut Limit;
type FieldOf = fn(&mut Limit) -> &mut LimitValue;

/// An invalid setting: its position, and the problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting {position}, `{setting}`: {problem}")]
pub struct SettingError {
    /// Counted from 1.
    position: usize,
    setting: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("expected scope.field=value, as in system.conns=1500")]
    Shape,
    #[error("unknown scope `{0}`; the scopes are {names}", names = names(&SCOPES))]
    Scope(String),
    #[error("unknown field `{0}`; the fields are {names}", names = names(&FIELDS))]
    Field(String),
    #[error("`{0}` is not a count: a whole number, or unlimited")]
    Count(String),
    #[error("`{0}` is not a size: a whole number of bytes, KiB, MiB or GiB, or unlimited")]
    Size(String),
    #[error("`{0}` is too large; write `unlimited` for no limit")]
    TooLarge(String),
}

/// The scopes that the demo's connections are charged on.
const SCOPES: [(&str, ScopeIn); 6] = [
    ("system", |limits| &mut limits.system),
    ("transient", |limits| &mut limits.transient),
    ("service", |limits| {
        limits.service_default.get_or_insert(Limit::UNLIMITED)
    }),
    ("service-peer", |limits| &mut limits.service_peer_default),
    ("peer", |limits| &mut limits.peer_default),
    ("conn", |limits| &mut limits.conn),
];

const FIELDS: [(&str, FieldOf); 8] = [
    (MEMORY, |limit| &mut limit.memory),
    ("fd", |limit| &mut limit.fd),
    ("conns", |limit| &mut limit.conns),
    ("conns_inbound", |limit| &mut limit.conns_inbound),
    ("conns_outbound", |limit| &mut limit.conns_outbound),
    ("streams", |limit| &mut limit.streams),
    ("streams_inbound", |limit| &mut limit.streams_inbound),
    ("streams_outbound", |limit| &mut limit.streams_outbound),
];

/// The one field that is a size.
const MEMORY: &str = "memory";

const UNITS: [(&str, u64); 3] = [("KiB", KIB), ("MiB", MIB), ("GiB", GIB)];

fn names<T>(table: &[(&str, T)]) -> String {
    let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    let entry = table.iter().find(|(known, _)| *known == name)?;
    Some(entry.1)
}

impl LimitSettings {
    /// Applies the settings to `limits`. If two set the same field, the later one wins.
    pub fn apply(&self, limits: &mut Limits) {
        for setting in &self.0 {
            *(setting.field)((setting.scope)(limits)) = setting.value;
        }
    }
}

impl FromStr for LimitSettings {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let settings = text.split(',').enumerate().map(|(at, setting)| {
            let setting = setting.trim();
            setting.parse().map_err(|problem| SettingError {
                position: at + 1,
                setting: setting.to_owned(),
                problem,
            })
        });
        settings.collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Setting {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let (place, value) = text.split_once('=').ok_or(Problem::Shape)?;
        let (scope, field) = place.split_once('.').ok_or(Problem::Shape)?;
        let (scope, field, value) = (scope.trim(), field.trim(), value.trim());
        Ok(Self {
            scope: find(&SCOPES, scope).ok_or_else(|| Problem::Scope(scope.to_owned()))?,
            field: find(&FIELDS, field).ok_or_else(|| Problem::Field(field.to_owned()))?,
            value: read_value(value, field == MEMORY)?,
        })
    }
}

fn read_value(text: &str, is_size: bool) -> Result<LimitValue, Problem> {
    if text == "unlimited" {
        return Ok(LimitValue::Unlimited);
    }
    let (digits, unit) = if is_size { split_unit(text) } else { (text, 1) };
    // `parse` would accept a sign.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let problem = if is_size {
            Problem::Size
        } else {
            Problem::Count
        };
        return Err(problem(text.to_owned()));
    }
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .map(LimitValue::of)
        .ok_or_else(|| Problem::TooLarge(text.to_owned()))
}

fn split_unit(text: &str) -> (&str, u64) {
    UNITS
        .into_iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end(), unit)))
        .unwrap_or((text, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> Limits {
        let mut limits = Limits::unlimited();
        text.parse::<LimitSettings>().unwrap().apply(&mut limits);
        limits
    }

    fn refused(text: &str) -> String {
        text.parse::<LimitSettings>().unwrap_err().to_string()
    }

    #[test]
    fn settings_change_the_fields_they_name_and_no_others() {
        let limits = applied(
            "system.conns=1500, peer.conns_inbound=200,service.memory=64MiB,service-peer.fd=0",
        );
        let mut expected = Limits::unlimited();
        expected.system.conns = 1500.into();
        expected.peer_default.conns_inbound = 200.into();
        expected.service_default = Some(Limit {
            memory: (64 * MIB).into(),
            ..Limit::UNLIMITED
        });
        expected.service_peer_default.fd = LimitValue::BLOCK_ALL;
        assert_eq!(limits, expected);
    }

    #[test]
    fn the_later_of_two_settings_wins() {
        let limits = applied("conn.memory=4KiB,conn.memory=unlimited,system.fd=1,system.fd=2");
        assert_eq!(limits.conn.memory, LimitValue::Unlimited);
        assert_eq!(limits.system.fd, 2.into());
    }

    #[test]
    fn every_scope_and_field_that_errors_name_can_be_set() {
        for (scope, _) in SCOPES {
            for (field, _) in FIELDS {
                let limits = applied(&format!("{scope}.{field}=7"));
                assert_ne!(limits, Limits::unlimited(), "{scope}.{field}");
            }
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in [("17", 17), ("17KiB", 17 << 10), ("2 GiB", 2 << 30)] {
            let limits = applied(&format!("transient.memory={text}"));
            assert_eq!(limits.transient.memory, bytes.into());
        }
    }

    #[test]
    fn an_error_has_its_position_and_the_valid_names() {
        let cases = [
            (
                "system.conns=1,pear.conns=2",
                "setting 2, `pear.conns=2`: unknown scope `pear`; the scopes are system, transient, \
                 service, service-peer, peer, conn",
            ),
            (
                "peer.cons=2",
                "setting 1, `peer.cons=2`: unknown field `cons`; the fields are memory, fd, conns, \
                 conns_inbound, conns_outbound, streams, streams_inbound, streams_outbound",
            ),
            (
                "peer.conns=64MiB",
                "setting 1, `peer.conns=64MiB`: `64MiB` is not a count: a whole number, or \
                 unlimited",
            ),
            (
                "peer.memory=64MB",
                "setting 1, `peer.memory=64MB`: `64MB` is not a size: a whole number of bytes, \
                 KiB, MiB or GiB, or unlimited",
            ),
            (
                "peer.memory=18446744073709551615KiB",
                "setting 1, `peer.memory=18446744073709551615KiB`: `18446744073709551615KiB` is \
                 too large; write `unlimited` for no limit",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(refused(text), message);
        }
    }

    #[test]
    fn a_malformed_setting_gets_an_example() {
        for text in ["", "system", "system.conns", "conns=5", "system.fd=1,"] {
            assert!(refused(text).contains("scope.field=value"), "{text}");
        }
        for value in ["", "-1", "+1", "1.5", "0x10", "KiB"] {
            let message = refused(&format!("system.memory={value}"));
            assert!(message.contains("is not a size"), "{message}");
        }
    }
}
