//! The path of one limit in the limits.

use std::fmt;
use std::str::FromStr;

use crate::{BadConfiguration, LimitsKey, Resource};

/// One limit: an entry in [`Limits`](crate::Limits), and a field of it. This is the setting that a
/// person changes.
///
/// Its text is its path in a limits file, such as `System.ConnsInbound`.
///
/// ```
/// use rcmgr_core::{LimitField, LimitsKey, Resource};
///
/// let field = LimitField { key: LimitsKey::System, resource: Resource::ConnsInbound };
/// assert_eq!(field.to_string(), "System.ConnsInbound");
/// for text in ["System.ConnsInbound", "system.conns_inbound", "system.conns-inbound"] {
///     assert_eq!(text.parse(), Ok(field.clone()));
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitField {
    /// The entry.
    pub key: LimitsKey,
    /// The field of the entry.
    pub resource: Resource,
}

impl fmt::Display for LimitField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.key, self.resource))
    }
}

impl FromStr for LimitField {
    type Err = BadConfiguration;

    /// Reads a key, a dot and a resource, each as it is read alone. A name within the key may
    /// contain dots.
    fn from_str(text: &str) -> Result<Self, BadConfiguration> {
        let bad = |reason: String| BadConfiguration {
            field: text.into(),
            reason,
            ..BadConfiguration::default()
        };
        let (key, resource) = text.rsplit_once('.').ok_or_else(|| {
            bad("expected a scope, a dot and a field, as in System.ConnsInbound".into())
        })?;
        Ok(Self {
            key: key
                .parse()
                .map_err(|error: BadConfiguration| bad(error.reason))?,
            resource: resource
                .parse()
                .map_err(|error: BadConfiguration| bad(error.reason))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_survives_the_round_trip_through_text() {
        let keys = LimitsKey::SCOPES
            .into_iter()
            .chain([LimitsKey::Service("a.b".into())]);
        for key in keys {
            for resource in Resource::ALL {
                let key = key.clone();
                let field = LimitField { key, resource };
                assert_eq!(field.to_string().parse(), Ok(field));
            }
        }
    }

    #[test]
    fn the_error_says_which_part_is_wrong() {
        let cases = [
            ("System", "expected a scope, a dot and a field"),
            ("Sstem.Conns", "there is no such scope"),
            ("System.Cons", "there is no such resource"),
            (
                "Peer.192.0.2.7:80.Conns",
                "a port is not part of a peer's name",
            ),
        ];
        for (text, reason) in cases {
            let bad = text.parse::<LimitField>().unwrap_err();
            assert!(bad.reason.starts_with(reason), "{text}: {bad}");
        }
    }
}
