//! What the server says about requests that wait for room.

use rcmgr_atomic::Resource;
use serde::Deserialize;

use super::server::plain_text;
use crate::top::numbers::amount;

/// The requests that wait for one resource of one scope.
#[derive(Debug, Clone, Deserialize)]
pub struct Queue {
    /// The scope, escaped.
    #[serde(deserialize_with = "plain_text")]
    pub scope: String,
    /// The resource, escaped.
    #[serde(deserialize_with = "plain_text")]
    resource: String,
    pub requests: u64,
    amount: u64,
    /// The time that the first of them has waited.
    pub longest_seconds: f64,
}

impl Queue {
    fn resource(&self) -> Option<Resource> {
        let mut all = Resource::ALL.into_iter();
        all.find(|resource| resource.as_str() == self.resource)
    }

    /// The resource as a field of limits files.
    pub fn field(&self) -> &str {
        match self.resource() {
            Some(resource) => resource.field_name(),
            None => &self.resource,
        }
    }

    /// Whether the amount is in bytes.
    pub fn is_memory(&self) -> bool {
        self.resource() == Some(Resource::Memory)
    }

    /// What the requests ask for together.
    pub fn amount(&self) -> String {
        let resource = self.resource().unwrap_or(Resource::Conns);
        amount(resource, self.amount)
    }
}

/// The waits so far.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct WaitTotals {
    pub begun: u64,
    granted: u64,
    refused: u64,
    given_up: u64,
    /// The time that all ended waits took together.
    waited_seconds: f64,
}

impl WaitTotals {
    /// The ended waits: granted, refused, given up.
    pub const fn ended(&self) -> [u64; 3] {
        [self.granted, self.refused, self.given_up]
    }

    /// How long a wait took on average; `None` before the first has ended.
    pub fn average_seconds(&self) -> Option<f64> {
        let ended = self.ended().into_iter().fold(0, u64::saturating_add);
        (ended > 0).then(|| self.waited_seconds / ended as f64)
    }
}
