//! What the server says about itself.

use rcmgr_atomic::{Refusals, Resource};
use serde::{Deserialize, Deserializer};

use crate::top::text::escaped;

/// What a server refused since its reading before.
#[derive(Debug, Clone, Deserialize)]
pub struct RefusedNow {
    /// `None` if there was no reading before.
    pub seconds: Option<f64>,
    #[serde(default)]
    pub now: Vec<Refuser>,
}

/// A scope, the other scopes of a class, or a limiter of addresses.
#[derive(Debug, Clone, Deserialize)]
pub struct Refuser {
    /// Escaped; `None` for the other scopes of the class.
    #[serde(default, deserialize_with = "text")]
    pub scope: Option<String>,
    #[serde(deserialize_with = "plain_text")]
    pub class: String,
    /// The number of scopes, zero if it is not known.
    #[serde(default)]
    pub scopes: u64,
    /// The resource that was asked for.
    #[serde(deserialize_with = "plain_text")]
    pub resource: String,
    pub per_second: f64,
    /// The setting to change, escaped; `None` if it is not known.
    #[serde(default, deserialize_with = "text")]
    pub setting: Option<String>,
    pub used: Option<u64>,
    pub limit: Option<u64>,
}

/// The origin of a limit.
#[derive(Debug, Clone, Deserialize)]
pub struct Origin {
    /// The setting, escaped; `None` for a limit that was set by hand on the scope.
    #[serde(default, deserialize_with = "text")]
    pub setting: Option<String>,
    /// A file and line, or a phrase, escaped.
    #[serde(deserialize_with = "plain_text")]
    pub from: String,
}

/// Refusals by address: of connections from one address or network.
#[derive(Debug, Clone, Deserialize)]
pub struct Addresses {
    pub refused_by_rate: u64,
    pub refused_by_subnet: u64,
    /// How often a connection had to verify its address first.
    #[serde(default)]
    pub verifications_asked: u64,
    /// The connections that count now.
    #[serde(default)]
    pub permits: u64,
    /// The networks with the most refusals, the first with the most; not said of a dry run.
    #[serde(default, deserialize_with = "networks")]
    pub most_refused: Vec<Network>,
}

impl Addresses {
    /// The counters: refused by rate, refused by subnet, verifications asked.
    pub const fn counts(&self) -> [u64; 3] {
        [
            self.refused_by_rate,
            self.refused_by_subnet,
            self.verifications_asked,
        ]
    }

    /// The number of all refusals.
    pub const fn all_refused(&self) -> u64 {
        self.refused_by_rate.saturating_add(self.refused_by_subnet)
    }
}

/// The refusals of a network.
#[derive(Debug, Clone, Deserialize)]
pub struct Network {
    /// Escaped: see [`escaped`].
    #[serde(deserialize_with = "plain_text")]
    pub network: String,
    pub by_subnet: u64,
    pub by_rate: u64,
}

impl Network {
    /// The number of all refusals.
    pub const fn all_refused(&self) -> u64 {
        self.by_subnet.saturating_add(self.by_rate)
    }
}

/// The state of the reloading of limits.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Reload {
    /// The limits' file, escaped.
    #[serde(default, deserialize_with = "text")]
    pub file: Option<String>,
    /// How often new limits were applied.
    #[serde(default)]
    pub reloads: u64,
    /// How often a file was found bad.
    #[serde(default)]
    pub failures: u64,
    /// The error of the last reading, escaped; `None` while the limits of the file are in force.
    #[serde(default, deserialize_with = "text")]
    pub error: Option<String>,
}

/// What limits that are only evaluated would have refused.
#[derive(Debug, Clone, Deserialize)]
pub struct DryRun {
    /// By all scopes.
    #[serde(deserialize_with = "super::refusals")]
    pub refusals: Refusals,
    pub addresses: Option<Addresses>,
}

impl DryRun {
    /// The counters: those of [`Resource::COUNTED`], refused by rate, refused by subnet.
    pub fn counts(&self) -> [u64; 8] {
        let by_address = self.addresses.as_ref().map(Addresses::counts);
        let [by_rate, by_subnet, _] = by_address.unwrap_or_default();
        let [memory, fd, streams_in, streams_out, conns_in, conns_out] =
            Resource::COUNTED.map(|resource| self.refusals.get(resource));
        [
            memory,
            fd,
            streams_in,
            streams_out,
            conns_in,
            conns_out,
            by_rate,
            by_subnet,
        ]
    }
}

fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Network>, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.map(|text| escaped(&text)))
}

pub fn plain_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(|text| escaped(&text))
}
