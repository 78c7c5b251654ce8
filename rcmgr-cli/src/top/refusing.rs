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
    pub fn field(&self) -> &str {
        self.setting.rsplit('.').next().unwrap_or_default()
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
    match (&*refuser.class, refuser.scopes) {
        ("address", _) => match refuser.setting.as_deref() {
            Some("Addresses.Subnets") => "addresses, by subnet".to_owned(),
            _ => "addresses, by rate".to_owned(),
        },
        ("connection", _) => "single connections".to_owned(),
        ("stream", _) => "single streams".to_owned(),
        (class, 0) => format!("others of class {class}"),
        (class, scopes) => format!("{} others of class {class}", count(scopes)),
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
