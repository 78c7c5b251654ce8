//! What one operation asks of a scope, and what the limit of the scope answers.

use std::cmp::Reverse;

use rcmgr_core::{Direction, Limit, LimitValue, Priority, Refusals, Resource, ScopeStat};

/// What one operation asks of a scope.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub stat: ScopeStat,
    /// Whether a leaf moves here. Then memory and the totals are checked even if it holds none.
    pub moved: bool,
    pub priority: Priority,
    /// Whether memory is asked for, be it zero bytes.
    pub memory: bool,
    pub turn: Turn,
}

/// When a request came, among those that wait. The earlier is the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// A leaf moves with what it holds: before all that wait.
    First,
    /// A request that waits, by its ticket.
    Ticket(u64),
    /// A request that will wait if it is refused.
    New,
    /// A request that is granted or refused at once.
    Now,
}

impl Turn {
    /// Whether a refusal counts.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::First | Self::Now)
    }
}

/// The position of a request in a queue: the highest priority comes first.
pub type Position = (Reverse<u8>, Turn);

impl Request {
    pub fn position(&self) -> Position {
        let level = if self.memory {
            self.priority.level()
        } else {
            u8::MAX
        };
        (Reverse(level), self.turn)
    }

    /// The limits that it counts in.
    pub fn resources(&self) -> impl Iterator<Item = Resource> {
        let counts = |resource| match resource {
            Resource::Memory => self.memory,
            resource => self.stat.get(resource) > 0,
        };
        Resource::ALL
            .into_iter()
            .filter(move |&resource| counts(resource))
    }

    /// How much it asks for: bytes, or a count.
    pub const fn amount(&self) -> u64 {
        if self.memory { self.stat.memory } else { 1 }
    }
}

/// The field of a limit that a request would exceed.
#[derive(Debug, Clone, Copy)]
pub struct Over {
    pub resource: Resource,
    pub used: u64,
    pub requested: u64,
}

/// Checks a request against a limit. The order is memory, streams, connections, file descriptors; for
/// streams and connections the direction comes before the total.
pub fn check(limit: &Limit, used: &ScopeStat, request: &Request) -> Result<(), Over> {
    let asked = &request.stat;
    if request.memory || request.moved {
        let most = threshold(limit.memory, request.priority);
        if u128::from(used.memory) + u128::from(asked.memory) > most {
            return Err(Over {
                resource: Resource::Memory,
                used: used.memory,
                requested: asked.memory,
            });
        }
    }
    let fields = [
        (
            Resource::StreamsInbound,
            used.streams_inbound,
            asked.streams_inbound,
            false,
        ),
        (
            Resource::StreamsOutbound,
            used.streams_outbound,
            asked.streams_outbound,
            false,
        ),
        (
            Resource::Streams,
            used.streams(),
            asked.streams(),
            request.moved,
        ),
        (
            Resource::ConnsInbound,
            used.conns_inbound,
            asked.conns_inbound,
            false,
        ),
        (
            Resource::ConnsOutbound,
            used.conns_outbound,
            asked.conns_outbound,
            false,
        ),
        (Resource::Conns, used.conns(), asked.conns(), request.moved),
        (Resource::Fd, used.fd, asked.fd, false),
    ];
    for (resource, used, requested, is_always_checked) in fields {
        let is_checked = requested > 0 || is_always_checked;
        if is_checked && !limit.get(resource).allows(used + requested) {
            return Err(Over {
                resource,
                used,
                requested,
            });
        }
    }
    Ok(())
}

/// The most memory that a request of this priority may bring the usage to.
fn threshold(limit: LimitValue, priority: Priority) -> u128 {
    match limit {
        LimitValue::Limited(limit) => (u128::from(priority.level()) + 1) * u128::from(limit) / 256,
        LimitValue::Unlimited => u128::MAX,
    }
}

/// The sum of each counter.
pub fn plus(a: ScopeStat, b: ScopeStat) -> ScopeStat {
    ScopeStat {
        streams_inbound: a.streams_inbound + b.streams_inbound,
        streams_outbound: a.streams_outbound + b.streams_outbound,
        conns_inbound: a.conns_inbound + b.conns_inbound,
        conns_outbound: a.conns_outbound + b.conns_outbound,
        fd: a.fd + b.fd,
        memory: a.memory + b.memory,
    }
}

/// The difference of each counter.
pub fn minus(a: ScopeStat, b: ScopeStat) -> ScopeStat {
    ScopeStat {
        streams_inbound: a.streams_inbound - b.streams_inbound,
        streams_outbound: a.streams_outbound - b.streams_outbound,
        conns_inbound: a.conns_inbound - b.conns_inbound,
        conns_outbound: a.conns_outbound - b.conns_outbound,
        fd: a.fd - b.fd,
        memory: a.memory - b.memory,
    }
}

/// Counts a refusal. The direction that its error names.
pub fn count_refusal(refusals: &mut Refusals, request: &Request, over: &Over) -> Option<Direction> {
    let is_outbound = request.stat.streams_outbound + request.stat.conns_outbound > 0;
    let direction = match over.resource {
        Resource::Memory => None,
        // Only the total was over its limit. Nothing was asked for.
        _ if over.requested == 0 => None,
        _ if is_outbound => Some(Direction::Outbound),
        _ => Some(Direction::Inbound),
    };
    let outbound = direction == Some(Direction::Outbound);
    let count = match (over.resource, outbound) {
        (Resource::Memory, _) => &mut refusals.memory,
        (Resource::Fd, _) => &mut refusals.fd,
        (Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound, true) => {
            &mut refusals.streams_outbound
        }
        (Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound, false) => {
            &mut refusals.streams_inbound
        }
        (Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound, true) => {
            &mut refusals.conns_outbound
        }
        (Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound, false) => {
            &mut refusals.conns_inbound
        }
    };
    *count += 1;
    // Two parts of these counts.
    if over.resource == Resource::Fd {
        refusals.fd_outbound += u64::from(outbound);
    } else if direction.is_some() {
        refusals.conns_with_fd += request.stat.fd;
    }
    direction
}
