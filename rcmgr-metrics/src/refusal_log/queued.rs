//! The requests that wait for room where others are refused.

use std::fmt;

use rcmgr_atomic::{Manager, Waiting};
use rcmgr_core::{LimitValue, Resource, ScopeClass, ScopeId};

use super::mode::Mode;
use super::words::grouped;
use crate::reached::total_of;

/// The queues of a manager.
#[derive(Debug)]
pub(super) struct Queues {
    waiting: Vec<Waiting>,
    /// How many requests may wait in a queue.
    most: LimitValue,
}

impl Queues {
    /// The queues. Nothing waits in a dry run.
    pub fn of(manager: &Manager, mode: Mode) -> Self {
        let waiting = match mode {
            Mode::Enforced => manager.waiting(),
            Mode::DryRun => Vec::new(),
        };
        let most = manager.limits().waiters;
        Self { waiting, most }
    }

    /// The requests that wait for a resource, or for the total of both directions: in a scope, or
    /// in all scopes of a class.
    pub fn at(&self, class: ScopeClass, scope: Option<&ScopeId>, asked: Resource) -> Queued {
        let is_there = |queue: &&Waiting| {
            let resources = [Some(asked), total_of(asked)];
            queue.scope.class() == class
                && scope.is_none_or(|scope| queue.scope.scope == *scope)
                && resources.contains(&Some(queue.resource))
        };
        let mut queued = Queued::default();
        for queue in self.waiting.iter().filter(is_there) {
            queued.requests = queued.requests.saturating_add(queue.requests);
            queued.is_full |= !self.most.allows(queue.requests.saturating_add(1));
        }
        queued
    }
}

/// The requests that wait for room where a line's requests were refused. Requests that arrive later
/// are refused before these have room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Queued {
    pub requests: u64,
    /// Whether as many wait in a scope as may.
    is_full: bool,
}

impl fmt::Display for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.requests {
            0 => return Ok(()),
            1 => f.write_str("; 1 request waits for room")?,
            requests => write!(f, "; {} requests wait for room", grouped(requests))?,
        }
        match self.is_full {
            true => f.write_str(", as many as Waiters allows"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queues(most: LimitValue) -> Queues {
        let peer = |name: &str| ScopeId::Peer(name.parse().unwrap());
        let queue = |scope: ScopeId, resource, requests| Waiting {
            scope: scope.into(),
            resource,
            requests,
            amount: requests,
            longest: Duration::from_secs(1),
        };
        Queues {
            waiting: vec![
                queue(peer("a"), Resource::StreamsInbound, 3),
                queue(peer("a"), Resource::Streams, 4),
                queue(peer("a"), Resource::StreamsOutbound, 100),
                queue(peer("b"), Resource::Streams, 1),
                queue(ScopeId::Connection(1), Resource::Memory, 2),
                queue(ScopeId::Connection(2), Resource::Memory, 1),
            ],
            most,
        }
    }

    #[test]
    fn a_scope_has_its_queues_of_the_direction_and_of_both_together() {
        let queues = queues(LimitValue::Limited(1024));
        let peer = |name: &str| ScopeId::Peer(name.parse().unwrap());
        let at = |name| {
            queues.at(
                ScopeClass::Peer,
                Some(&peer(name)),
                Resource::StreamsInbound,
            )
        };
        assert_eq!(at("a").to_string(), "; 7 requests wait for room");
        assert_eq!(at("b").to_string(), "; 1 request waits for room");
        assert_eq!(at("c").to_string(), "");
        let conns = queues.at(ScopeClass::Connection, None, Resource::Memory);
        assert_eq!(conns.requests, 3);
    }

    #[test]
    fn a_queue_that_takes_no_further_request_names_the_setting() {
        let full = |most: u64| {
            let queues = queues(LimitValue::Limited(most));
            queues
                .at(ScopeClass::Connection, None, Resource::Memory)
                .to_string()
        };
        assert_eq!(full(3), "; 3 requests wait for room");
        assert_eq!(
            full(2),
            "; 3 requests wait for room, as many as Waiters allows"
        );
        let unlimited = queues(LimitValue::Unlimited);
        let unlimited = unlimited.at(ScopeClass::Connection, None, Resource::Memory);
        assert_eq!(unlimited.to_string(), "; 3 requests wait for room");
    }
}
