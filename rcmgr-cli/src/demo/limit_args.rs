//! Parses the demo's limits on the command line: `System.Conns=1500,PeerDefault.Memory=64MiB`.
//!
//! Scopes and fields have the names of limits files. Case, `-` and `_` make no difference, and
//! `peer`, `service` and `service-peer` are short for the defaults of these classes. The settings
//! change existing limits, in the given order.

use std::str::FromStr;

use rcmgr_atomic::{BadConfiguration, Limit, LimitValue, Limits, LimitsKey, PeerId, Resource};
use rcmgr_config::{ByteSize, ByteSizeError, PartialLimit};

use super::server::SERVICE;

/// Settings of single limits, separated by commas.
#[derive(Debug, Clone, Default)]
pub struct LimitSettings(Vec<Setting>);

#[derive(Debug, Clone)]
struct Setting {
    scope: LimitsKey,
    resource: Resource,
    value: LimitValue,
}

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
    #[error("expected SCOPE.FIELD=VALUE, as in System.Conns=1500")]
    Shape,
    #[error("unknown scope `{0}`; the scopes are {SCOPES}")]
    Scope(String),
    #[error("{0}")]
    Name(String),
    #[error("unknown field `{0}`; the fields are {fields}", fields = FIELDS.map(Resource::field_name).join(", "))]
    Field(String),
    #[error("{0} has no effect: the demo's connections are not charged on it")]
    UnusedScope(LimitsKey),
    #[error("{0} has no effect: the demo has only inbound connections")]
    UnusedField(Resource),
    #[error("`{0}` is not a count: a whole number, unlimited or blockAll")]
    Count(String),
    #[error("`{0}` is not a size: {1}; or unlimited or blockAll")]
    Size(String, ByteSizeError),
    #[error("`{0}` is too large; write `unlimited` for no limit")]
    TooLarge(String),
}

/// The scopes that the demo's connections are charged on, for an error.
const SCOPES: &str = "System, Transient, ServiceDefault, Service.echo, ServicePeerDefault, \
                      ServicePeer.echo, PeerDefault, Peer.ADDRESS, Conn";

/// The fields that limit the demo's connections.
const FIELDS: [Resource; 4] = [
    Resource::Conns,
    Resource::ConnsInbound,
    Resource::Fd,
    Resource::Memory,
];

/// Short names of the defaults of classes.
const SHORT: [(&str, LimitsKey); 3] = [
    ("peer", LimitsKey::PeerDefault),
    ("service", LimitsKey::ServiceDefault),
    ("service-peer", LimitsKey::ServicePeerDefault),
];

impl LimitSettings {
    /// The peers whose limits are set by name.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.0.iter().filter_map(|setting| match setting.scope {
            LimitsKey::Peer(peer) => Some(peer),
            _ => None,
        })
    }

    /// Applies the settings to `limits`. If two set the same field, the later one wins.
    pub fn apply(&self, limits: &mut Limits) {
        for setting in &self.0 {
            let mut partial = PartialLimit::default();
            *partial.get_mut(setting.resource) = Some(setting.value);
            let limit = limits.lookup(&setting.scope).unwrap_or(Limit::UNLIMITED);
            limits.set(setting.scope.clone(), partial.build(&limit));
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
        // The name of a peer can contain dots.
        let (scope, field) = place.rsplit_once('.').ok_or(Problem::Shape)?;
        let scope = read_scope(scope.trim())?;
        let resource = read_field(field.trim())?;
        Ok(Self {
            scope,
            resource,
            value: read_value(value.trim(), resource)?,
        })
    }
}

fn read_scope(text: &str) -> Result<LimitsKey, Problem> {
    let mut short = SHORT.into_iter();
    let short = short.find(|(short, _)| short.eq_ignore_ascii_case(&text.replace('_', "-")));
    let key = match short {
        Some((_, key)) => key,
        None => text.parse().map_err(|bad: BadConfiguration| {
            let class = text.split('.').next().unwrap_or_default();
            match LimitsKey::CLASSES.contains(&class) {
                true => Problem::Name(bad.reason),
                false => Problem::Scope(text.to_owned()),
            }
        })?,
    };
    match &key {
        LimitsKey::System
        | LimitsKey::Transient
        | LimitsKey::ServiceDefault
        | LimitsKey::ServicePeerDefault
        | LimitsKey::PeerDefault
        | LimitsKey::Peer(_)
        | LimitsKey::Conn => Ok(key),
        LimitsKey::Service(name) | LimitsKey::ServicePeer(name) if name == SERVICE => Ok(key),
        _ => Err(Problem::UnusedScope(key)),
    }
}

fn read_field(text: &str) -> Result<Resource, Problem> {
    match text.parse() {
        Ok(field) if FIELDS.contains(&field) => Ok(field),
        Ok(field) => Err(Problem::UnusedField(field)),
        Err(_) => Err(Problem::Field(text.to_owned())),
    }
}

fn read_value(text: &str, resource: Resource) -> Result<LimitValue, Problem> {
    match text {
        "unlimited" => return Ok(LimitValue::Unlimited),
        "blockAll" => return Ok(LimitValue::BLOCK_ALL),
        _ => {}
    }
    if resource == Resource::Memory {
        return match text.parse() {
            Ok(ByteSize(bytes)) => Ok(bytes.into()),
            Err(ByteSizeError::TooLarge) => Err(Problem::TooLarge(text.to_owned())),
            Err(error) => Err(Problem::Size(text.to_owned(), error)),
        };
    }
    // `parse` would accept a sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::Count(text.to_owned()));
    }
    let number: Result<u64, _> = text.parse();
    number
        .map(LimitValue::from)
        .map_err(|_| Problem::TooLarge(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::MIB;

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
            "System.Conns=1500, PeerDefault.ConnsInbound=200,ServiceDefault.Memory=64MiB,\
             ServicePeerDefault.FD=0,Peer.127.0.1.1.Conns=3,Service.echo.FD=7",
        );
        let mut expected = Limits::unlimited();
        expected.system.conns = 1500.into();
        expected.peer_default.conns_inbound = 200.into();
        let service = Limit {
            memory: (64 * MIB).into(),
            ..Limit::UNLIMITED
        };
        expected.service_default = Some(service);
        expected.service_peer_default.fd = LimitValue::BLOCK_ALL;
        expected.set(
            "Peer.127.0.1.1".parse().unwrap(),
            Limit {
                conns: 3.into(),
                ..expected.peer_default
            },
        );
        expected.service.insert(
            SERVICE.into(),
            Limit {
                fd: 7.into(),
                ..service
            },
        );
        assert_eq!(limits, expected);
    }

    #[test]
    fn one_field_has_one_meaning_in_every_spelling() {
        let spellings = [
            [
                "System.ConnsInbound",
                "system.conns_inbound",
                "SYSTEM.conns-inbound",
            ],
            ["PeerDefault.FD", "peer.fd", "peer-default.Fd"],
            [
                "ServicePeerDefault.Memory",
                "service-peer.memory",
                "service_peer.MEMORY",
            ],
        ];
        for [file, old, other] in spellings {
            let expected = applied(&format!("{file}=7"));
            assert_ne!(expected, Limits::unlimited());
            assert_eq!(applied(&format!("{old}=7")), expected);
            assert_eq!(applied(&format!("{other}=7")), expected);
        }
    }

    #[test]
    fn the_later_of_two_settings_wins() {
        let limits = applied("Conn.Memory=4KiB,conn.memory=unlimited,System.FD=1,system.fd=2");
        assert_eq!(limits.conn.memory, LimitValue::Unlimited);
        assert_eq!(limits.system.fd, 2.into());
    }

    #[test]
    fn sizes_have_units_as_in_files() {
        for (text, bytes) in [
            ("17", 17),
            ("17KiB", 17 << 10),
            ("2 GiB", 2 << 30),
            ("1.5 MiB", 3 << 19),
            ("2MB", 2_000_000),
            ("blockAll", 0),
        ] {
            let limits = applied(&format!("Transient.Memory={text}"));
            assert_eq!(limits.transient.memory, bytes.into());
        }
    }

    #[test]
    fn an_error_has_its_position_and_the_valid_names() {
        let cases = [
            (
                "System.Conns=1,pear.conns=2",
                "setting 2, `pear.conns=2`: unknown scope `pear`; the scopes are System, \
                 Transient, ServiceDefault, Service.echo, ServicePeerDefault, ServicePeer.echo, \
                 PeerDefault, Peer.ADDRESS, Conn",
            ),
            (
                "peer.cons=2",
                "setting 1, `peer.cons=2`: unknown field `cons`; the fields are Conns, \
                 ConnsInbound, FD, Memory",
            ),
            (
                "peer.conns=64MiB",
                "setting 1, `peer.conns=64MiB`: `64MiB` is not a count: a whole number, unlimited \
                 or blockAll",
            ),
            (
                "Conn.Memory=64M",
                "setting 1, `Conn.Memory=64M`: `64M` is not a size: unknown unit \"M\": use B, KiB, \
                 MiB, GiB, TiB, PiB, EiB, kB, MB, GB, TB, PB, EB; or unlimited or blockAll",
            ),
            (
                "System.FD=18446744073709551616",
                "setting 1, `System.FD=18446744073709551616`: `18446744073709551616` is too \
                 large; write `unlimited` for no limit",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(refused(text), message);
        }
    }

    #[test]
    fn a_setting_without_effect_is_an_error() {
        for text in [
            "Stream.Memory=1",
            "ProtocolDefault.Conns=1",
            "Service.dht.Conns=1",
            "AllowlistedSystem.Conns=1",
            "System.Streams=1",
            "peer.conns_outbound=1",
        ] {
            assert!(refused(text).contains("has no effect"), "{text}");
        }
    }

    #[test]
    fn a_malformed_setting_gets_an_example() {
        for text in ["", "system", "system.conns", "conns=5", "system.fd=1,"] {
            assert!(refused(text).contains("SCOPE.FIELD=VALUE"), "{text}");
        }
        for value in ["", "-1", "+1", "1.5", "0x10", "KiB"] {
            let message = refused(&format!("System.Memory={value}"));
            assert!(message.contains("is not a size"), "{message}");
        }
    }
}
