use rcmgr_atomic::{Limit, LimitValue, Priority, Resource, ScopeStat};

/// What one operation asks of a scope.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub stat: ScopeStat,
    /// Whether the totals are checked of what is not asked for, too.
    pub moved: bool,
    pub priority: Priority,
    /// Whether memory is asked for.
    pub memory: bool,
}

/// What a limit says to a request, where `used` is used: the first field that is over, in the
/// order memory, streams, connections; of each the direction, the total, then fds.
pub fn check(
    limit: &Limit,
    used: &ScopeStat,
    request: &Request,
) -> Result<(), (Resource, u64, u64)> {
    let asked = &request.stat;
    if request.memory || request.moved {
        let most = threshold(limit.memory, request.priority);
        if u128::from(used.memory) + u128::from(asked.memory) > most {
            return Err((Resource::Memory, used.memory, asked.memory));
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
    for (resource, used, asked, always) in fields {
        if (asked > 0 || always) && !limit.get(resource).allows(used + asked) {
            return Err((resource, used, asked));
        }
    }
    Ok(())
}

fn threshold(limit: LimitValue, priority: Priority) -> u128 {
    match limit {
        LimitValue::Limited(limit) => (u128::from(priority.level()) + 1) * u128::from(limit) / 256,
        LimitValue::Unlimited => u128::MAX,
    }
}

/// The sum, counter by counter.
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

/// The difference, counter by counter.
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
