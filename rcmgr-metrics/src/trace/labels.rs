//! The parts of a scope's name in an event.

use std::fmt;

use rcmgr_core::ScopeClass;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The parts of a scope's name. For a span, the last part ends in `.span-N`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScopeLabels {
    /// The class; for a span, the class of its owner.
    pub class: String,
    /// The service's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The protocol's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The peer's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The connection's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<String>,
    /// The stream's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The span, in traces that have a part for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
}

impl ScopeLabels {
    /// The class, if it is known.
    ///
    /// ```
    /// use rcmgr_core::ScopeClass;
    /// use rcmgr_metrics::trace::ScopeLabels;
    ///
    /// let labels = ScopeLabels { class: "protocol-peer".into(), ..ScopeLabels::default() };
    /// assert_eq!(labels.class(), Some(ScopeClass::ProtocolPeer));
    /// ```
    pub fn class(&self) -> Option<ScopeClass> {
        let mut classes = ScopeClass::ALL.into_iter();
        classes.find(|class| class.as_str() == self.class)
    }

    /// Splits a name into its parts. The parts of an unknown name are the name as the class.
    ///
    /// ```
    /// use rcmgr_metrics::trace::ScopeLabels;
    ///
    /// let labels = ScopeLabels::of_name("protocol:/a/1.0.peer:Qm");
    /// assert_eq!(labels.class, "protocol-peer");
    /// assert_eq!(labels.protocol.as_deref(), Some("/a/1.0"));
    /// assert_eq!(labels.peer.as_deref(), Some("Qm"));
    /// assert_eq!(labels.name(), "protocol:/a/1.0.peer:Qm");
    /// ```
    pub fn of_name(name: &str) -> Self {
        let class = |class: &str| Self {
            class: class.to_owned(),
            ..Self::default()
        };
        let part = |text: &str| Some(text.to_owned());
        // A service or protocol may have any name, so the peer is after the last separator.
        if let Some(conn) = name.strip_prefix("conn-") {
            let conn = part(conn);
            Self {
                conn,
                ..class("conn")
            }
        } else if let Some(stream) = name.strip_prefix("stream-") {
            let stream = part(stream);
            Self {
                stream,
                ..class("stream")
            }
        } else if let Some(peer) = name.strip_prefix("peer:") {
            let peer = part(peer);
            Self {
                peer,
                ..class("peer")
            }
        } else if let Some(rest) = name.strip_prefix("service:") {
            match rest.rsplit_once(".peer:") {
                Some((service, peer)) => Self {
                    service: part(service),
                    peer: part(peer),
                    ..class("service-peer")
                },
                None => Self {
                    service: part(rest),
                    ..class("service")
                },
            }
        } else if let Some(rest) = name.strip_prefix("protocol:") {
            match rest.rsplit_once(".peer:") {
                Some((protocol, peer)) => Self {
                    protocol: part(protocol),
                    peer: part(peer),
                    ..class("protocol-peer")
                },
                None => Self {
                    protocol: part(rest),
                    ..class("protocol")
                },
            }
        } else {
            class(name)
        }
    }

    /// The name that these parts form.
    pub fn name(&self) -> String {
        let Self {
            class,
            service,
            protocol,
            peer,
            conn,
            stream,
            ..
        } = self;
        let two = |kind: &str, name: &Option<String>| {
            let (name, peer) = (name.as_ref()?, peer.as_ref()?);
            Some(format!("{kind}:{name}.peer:{peer}"))
        };
        let name = match class.as_str() {
            "conn" => conn.as_ref().map(|conn| format!("conn-{conn}")),
            "stream" => stream.as_ref().map(|stream| format!("stream-{stream}")),
            "peer" => peer.as_ref().map(|peer| format!("peer:{peer}")),
            "service" => service.as_ref().map(|service| format!("service:{service}")),
            "protocol" => protocol
                .as_ref()
                .map(|protocol| format!("protocol:{protocol}")),
            "service-peer" => two("service", service),
            "protocol-peer" => two("protocol", protocol),
            _ => None,
        };
        name.unwrap_or_else(|| class.clone())
    }
}

/// Reads the `Scope` of an event: an object with the parts, or a text with the name.
pub(super) fn labels_or_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ScopeLabels>, D::Error> {
    struct Parts;

    impl<'de> Visitor<'de> for Parts {
        type Value = Option<ScopeLabels>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the parts of a scope's name, or the name")
        }

        fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
            ScopeLabels::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }

        fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
            Ok(Some(ScopeLabels::of_name(name)))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_name_form_the_name_again() {
        for name in [
            "system",
            "allowlistedTransient",
            "conn-7",
            "conn-7.span-2",
            "stream-1",
            "peer:",
            "peer:Qm",
            "service:dht",
            "service:a.peer:b.peer:Qm",
            "protocol:/a/1.0",
            "protocol:/a.peer:Qm.span-3",
            "sneeze",
            "",
        ] {
            assert_eq!(ScopeLabels::of_name(name).name(), name);
        }
        let without_its_number = ScopeLabels {
            class: "conn".into(),
            ..ScopeLabels::default()
        };
        assert_eq!(without_its_number.name(), "conn");
    }
}
