//! What refuses now, and the setting to change.

use rcmgr_atomic::{LimitValue, Resource};

use super::numbers::{amount_of, count};
use super::page::{Page, Refuser, Scope};
use super::rates::Rates;

/// What refuses, and since the reading before how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusing {
    /// Refusals per second.
    pub rate: f64,
    /// The scope, or a phrase for several.
    pub name: String,
    /// The usage of the limit that was reached, and the limit; empty if unknown.
    pub usage: String,
    /// The setting to change, such as `PeerDefault.ConnsInbound`, or only its field.
    pub setting: String,
}

impl Refusing {
    /// The last part of the setting.
    pub fn field(&self) -> String {
        match self.setting.starts_with("Addresses.") {
            // It may be two tables.
            true => self.setting.replace("Addresses.", ""),
            false => self.setting.rsplit('.').next().unwrap_or_default().into(),
        }
    }
}

/// All that refuses now, the highest rate first; `None` if that is not known.
pub fn refusing(page: &Page, rates: &Rates) -> Option<Vec<Refusing>> {
    if !rates.are_known() {
        return None;
    }
    let mut found: Vec<_> = match &page.refusing {
        Some(refusing) => {
            refusing.seconds?;
            refusing.now.iter().map(told).collect()
        }
        // An earlier server: find what refuses among the scopes of the page.
        None => {
            let scopes = page.pinned().into_iter().chain(&page.scopes);
            scopes.flat_map(|scope| of_scope(scope, rates)).collect()
        }
    };
    found.retain(|refusing: &Refusing| refusing.rate > 0.0);
    found.sort_by(|a, b| {
        let by_rate = b.rate.total_cmp(&a.rate);
        by_rate.then_with(|| (&a.name, &a.setting).cmp(&(&b.name, &b.setting)))
    });
    // System and transient may also be among the scopes.
    found.dedup();
    Some(found)
}

fn told(refuser: &Refuser) -> Refusing {
    let asked: Option<Resource> = Resource::ALL
        .into_iter()
        .find(|resource| resource.as_str() == refuser.resource);
    let field = asked.map_or(&*refuser.resource, |asked| asked.field_name());
    let usage = match (asked, refuser.used, refuser.limit) {
        (Some(asked), Some(used), Some(limit)) => amount_of(asked, used, limit),
        _ => String::new(),
    };
    Refusing {
        rate: refuser.per_second,
        name: refuser.scope.clone().unwrap_or_else(|| several(refuser)),
        usage,
        setting: refuser.setting.clone().unwrap_or_else(|| field.to_owned()),
    }
}

/// The name of what has no name.
fn several(refuser: &Refuser) -> String {
    let many = match &*refuser.class {
        "address" => match refuser.setting.as_deref() {
            Some("Addresses.Rates") => return "addresses, by rate".to_owned(),
            _ => return "addresses, by subnet".to_owned(),
        },
        "connection" => return "connections".to_owned(),
        "stream" => return "streams".to_owned(),
        "peer" => "peers",
        "service" => "services",
        "protocol" => "protocols",
        "service-peer" => "peers of services",
        "protocol-peer" => "peers of protocols",
        class => class,
    };
    match refuser.scopes {
        0 => format!("other {many}"),
        scopes => format!("{} other {many}", count(scopes)),
    }
}

fn of_scope(scope: &Scope, rates: &Rates) -> impl Iterator<Item = Refusing> + use<> {
    let rates = rates.by_resource(scope).into_iter().flatten();
    let scope = scope.clone();
    rates.zip(Resource::COUNTED).map(move |(rate, asked)| {
        let reached = reached(&scope, asked);
        let field = reached.map_or(asked, |(resource, _)| resource).field_name();
        Refusing {
            rate,
            name: scope.name.shown.clone(),
            usage: reached.map_or_else(String::new, |(resource, limit)| {
                amount_of(resource, scope.used(resource), limit)
            }),
            setting: match table(&scope.class) {
                Some(table) => format!("{table}.{field}"),
                None => field.to_owned(),
            },
        }
    })
}

/// The limit that a request for this resource reached: the first one that is full, as a scope
/// checks them. Usage may have dropped since; then it is the fullest.
fn reached(scope: &Scope, asked: Resource) -> Option<(Resource, u64)> {
    let both = match asked {
        Resource::StreamsInbound | Resource::StreamsOutbound => Some(Resource::Streams),
        Resource::ConnsInbound | Resource::ConnsOutbound => Some(Resource::Conns),
        _ => None,
    };
    let checked = [Some(asked), both];
    let limited =
        checked
            .into_iter()
            .flatten()
            .filter_map(|resource| match scope.limit.get(resource) {
                LimitValue::Limited(most) => Some((resource, most, scope.part(resource)?)),
                LimitValue::Unlimited => None,
            });
    let fullest = limited.reduce(|first, next| {
        if first.2 < 1.0 && next.2 > first.2 {
            next
        } else {
            first
        }
    });
    fullest.map(|(resource, most, _)| (resource, most))
}

/// The table of the limits' file with the limits of a class.
fn table(class: &str) -> Option<&'static str> {
    Some(match class {
        "system" => "System",
        "transient" => "Transient",
        "allowlisted-system" => "AllowlistedSystem",
        "allowlisted-transient" => "AllowlistedTransient",
        "service" => "ServiceDefault",
        "service-peer" => "ServicePeerDefault",
        "protocol" => "ProtocolDefault",
        "protocol-peer" => "ProtocolPeerDefault",
        "peer" => "PeerDefault",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::super::fixture::{page, scope};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The rates after a second without refusals.
    fn rates(before: &Page, after: &Page) -> Rates {
        let mut rates = Rates::new(SECOND);
        let begin = Instant::now();
        rates.look(before, begin);
        rates.look(after, begin + SECOND);
        rates
    }

    fn shown(found: &[Refusing]) -> Vec<String> {
        let text =
            |one: &Refusing| format!("{} {} {} {}", one.rate, one.name, one.usage, one.setting);
        found.iter().map(text).collect()
    }

    #[test]
    fn what_the_server_names_comes_with_its_setting_the_highest_rate_first() {
        let mut page = page([]);
        let row = |scope: Option<&str>, class, scopes, resource, rate, setting: Option<&str>| {
            json!({"scope": scope, "class": class, "scopes": scopes, "resource": resource,
                "count": 1, "per_second": rate, "setting": setting, "used": 2048, "limit": 4096})
        };
        let conns = "conns-inbound";
        let now = [
            row(
                Some("peer:a"),
                "peer",
                1,
                conns,
                1.5,
                Some("PeerDefault.Conns"),
            ),
            row(
                None,
                "peer",
                12_000,
                conns,
                0.5,
                Some("PeerDefault.ConnsInbound"),
            ),
            row(
                Some("service:b"),
                "service",
                1,
                "memory",
                9.0,
                Some("Service.b.Memory"),
            ),
            row(
                None,
                "address",
                0,
                conns,
                3.0,
                Some("Addresses.Subnets or Addresses.Networks"),
            ),
            row(None, "address", 0, conns, 2.5, Some("Addresses.Networks")),
            row(None, "address", 0, conns, 2.0, Some("Addresses.Rates")),
            row(None, "connection", 0, "memory", 0.2, Some("Conn.Memory")),
            row(Some("peer:c"), "peer", 1, "streams-outbound", 0.1, None),
            row(Some("peer:quiet"), "peer", 1, conns, 0.0, None),
        ];
        let refusing = json!({"seconds": 1.0, "now": now});
        page.refusing = Some(serde_json::from_value(refusing).unwrap());
        let found = super::refusing(&page, &rates(&page, &page)).unwrap();
        let expected = [
            "9 service:b 2/4 KiB Service.b.Memory",
            "3 addresses, by subnet 2,048/4,096 Addresses.Subnets or Addresses.Networks",
            "2.5 addresses, by subnet 2,048/4,096 Addresses.Networks",
            "2 addresses, by rate 2,048/4,096 Addresses.Rates",
            "1.5 peer:a 2,048/4,096 PeerDefault.Conns",
            "0.5 12k other peers 2,048/4,096 PeerDefault.ConnsInbound",
            "0.2 connections 2/4 KiB Conn.Memory",
            "0.1 peer:c 2,048/4,096 StreamsOutbound",
        ];
        assert_eq!(shown(&found), expected);
        assert_eq!(found[0].field(), "Memory");
        assert_eq!(found[1].field(), "Subnets or Networks");
    }

    #[test]
    fn without_a_reading_before_it_is_not_known_what_refuses() {
        let mut page = page([scope("peer:a")]);
        let known = rates(&page, &page);
        let refusing = json!({"seconds": null, "now": []});
        page.refusing = Some(serde_json::from_value(refusing).unwrap());
        assert_eq!(super::refusing(&page, &known), None);
        page.refusing = None;
        assert_eq!(super::refusing(&page, &known), Some(vec![]));
        assert_eq!(super::refusing(&page, &Rates::new(SECOND)), None);
    }

    #[test]
    fn of_an_earlier_server_the_scopes_of_the_page_are_known() {
        let mut full = scope("peer:a");
        full.used.conns_inbound = 8;
        full.limit.conns = 8.into();
        full.limit.conns_inbound = 16.into();
        let mut own = scope("system");
        own.limit.memory = 1024.into();
        let before = page([full.clone(), own.clone()]);
        full.refusals.conns_inbound = 5;
        own.refusals.memory = 7;
        let mut after = page([full, own.clone()]);
        after.system = Some(own);
        let found = super::refusing(&after, &rates(&before, &after)).unwrap();
        let expected = [
            "7 system 0 B/1 KiB System.Memory",
            "5 peer:a 8/8 PeerDefault.Conns",
        ];
        assert_eq!(
            shown(&found),
            expected,
            "the total is full, and each scope is named once"
        );
    }
}
