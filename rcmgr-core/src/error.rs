//! The error type: the scope or limit that refused, and the numbers.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::{BadConfiguration, Direction, LimitValue, Priority, Resource, ScopeName};

/// Why an operation was refused. Creating one allocates nothing, except for a bad configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A scope's limit leaves no room for the request.
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    /// Other requests wait for room in the scope, and this one does not overtake them.
    #[error(transparent)]
    WaitersFirst(#[from] WaitersFirst),
    /// As many requests wait for room in the scope as may.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// The scope, its owner or the manager was closed.
    #[error("{scope} is closed")]
    ScopeClosed {
        /// The scope of the operation; the system scope stands for the manager.
        scope: ScopeName,
    },
    /// A connection's peer, a stream's protocol or a service can be set only once.
    #[error("{scope} is already attached to a {to}")]
    AlreadyAttached {
        /// The connection or stream.
        scope: ScopeName,
        /// The kind of scope it is attached to: a peer, a protocol or a service.
        to: crate::ScopeClass,
    },
    /// A stream's protocol must be set before its service.
    #[error("{scope} has no protocol yet: set it before the service")]
    NoProtocol {
        /// The stream.
        scope: ScopeName,
    },
    /// A connection can open streams only after its peer is set.
    #[error("{scope} has no peer yet: set it before opening a stream")]
    NoPeer {
        /// The connection.
        scope: ScopeName,
    },
    /// This span is nested as deep as spans may be, so it cannot have another span.
    #[error("{scope} cannot have a span: spans may be nested at most {most} deep")]
    SpansTooDeep {
        /// The span that cannot have another.
        scope: ScopeName,
        /// The maximum depth of nested spans.
        most: u32,
    },
    /// A subnet has reached its limit of connections.
    #[error(transparent)]
    SubnetLimit(#[from] SubnetLimitExceeded),
    /// Connections from a subnet, or from all addresses together, arrive faster than their limit.
    #[error(transparent)]
    RateLimit(#[from] RateLimitExceeded),
    /// A configuration cannot be read or is not valid.
    #[error(transparent)]
    BadConfiguration(Box<BadConfiguration>),
}

impl Error {
    /// Whether a retry with back-off may succeed. This is true when a limit was reached, because
    /// others may release what they hold. It is false for a scope that is closed or already
    /// attached, and for a bad configuration.
    ///
    /// ```
    /// use rcmgr_core::{Error, ScopeId};
    ///
    /// let closed = Error::ScopeClosed { scope: ScopeId::Stream(1).into() };
    /// assert!(!closed.is_temporary());
    /// ```
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::LimitExceeded(_)
            | Self::WaitersFirst(_)
            | Self::QueueFull(_)
            | Self::SubnetLimit(_)
            | Self::RateLimit(_) => true,
            Self::ScopeClosed { .. }
            | Self::AlreadyAttached { .. }
            | Self::NoProtocol { .. }
            | Self::NoPeer { .. }
            | Self::SpansTooDeep { .. }
            | Self::BadConfiguration(_) => false,
        }
    }

    /// The scope that the error is about, if any. For a limit, the scope that refused.
    pub const fn scope(&self) -> Option<&ScopeName> {
        match self {
            Self::LimitExceeded(LimitExceeded { scope, .. })
            | Self::WaitersFirst(WaitersFirst { scope, .. })
            | Self::QueueFull(QueueFull { scope, .. })
            | Self::ScopeClosed { scope }
            | Self::AlreadyAttached { scope, .. }
            | Self::NoProtocol { scope }
            | Self::NoPeer { scope }
            | Self::SpansTooDeep { scope, .. } => Some(scope),
            Self::SubnetLimit(_) | Self::RateLimit(_) | Self::BadConfiguration(_) => None,
        }
    }
}

impl From<Error> for io::Error {
    /// Sets the kind: [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) for a limit,
    /// [`NotConnected`](io::ErrorKind::NotConnected) for a closed scope,
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) for a scope that is already attached,
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a bad configuration, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for the others.
    ///
    /// ```
    /// use std::io;
    /// use rcmgr_core::{Error, ScopeId};
    ///
    /// let closed = Error::ScopeClosed { scope: ScopeId::Stream(1).into() };
    /// let error = io::Error::from(closed.clone());
    /// assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    /// assert_eq!(error.downcast::<Error>()?, closed);
    /// # Ok::<(), io::Error>(())
    /// ```
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::LimitExceeded(_)
            | Error::WaitersFirst(_)
            | Error::QueueFull(_)
            | Error::SubnetLimit(_)
            | Error::RateLimit(_) => io::ErrorKind::QuotaExceeded,
            Error::ScopeClosed { .. } => io::ErrorKind::NotConnected,
            Error::AlreadyAttached { .. } => io::ErrorKind::AlreadyExists,
            Error::NoProtocol { .. } | Error::NoPeer { .. } | Error::SpansTooDeep { .. } => {
                io::ErrorKind::InvalidInput
            }
            Error::BadConfiguration(_) => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl From<BadConfiguration> for Error {
    fn from(bad: BadConfiguration) -> Self {
        Self::BadConfiguration(Box::new(bad))
    }
}

/// A subnet has reached its limit of connections.
///
/// ```
/// use rcmgr_core::SubnetLimitExceeded;
///
/// let refused = SubnetLimitExceeded {
///     ip: "2001:db8::7".parse()?,
///     network: "2001:db8::/56".parse()?,
///     used: 8,
///     limit: 8,
/// };
/// assert_eq!(
///     refused.to_string(),
///     "subnet 2001:db8::/56 refused a connection from 2001:db8::7: 8 of 8 in use",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("subnet {network} refused a connection from {ip}: {used} of {limit} in use")]
pub struct SubnetLimitExceeded {
    /// The remote address.
    pub ip: IpAddr,
    /// The subnet or network prefix whose limit was reached.
    pub network: IpNet,
    /// The number of its open connections.
    pub used: u64,
    /// The largest number of connections allowed.
    pub limit: u64,
}

/// Connections arrive faster than a rate limit allows.
///
/// ```
/// use std::time::Duration;
/// use rcmgr_core::RateLimitExceeded;
///
/// let refused = RateLimitExceeded {
///     ip: "192.0.2.7".parse()?,
///     network: Some("192.0.2.7/32".parse()?),
///     retry_after: Duration::from_millis(4200),
/// };
/// assert_eq!(
///     refused.to_string(),
///     "rate limit of 192.0.2.7/32 refused a connection from 192.0.2.7: try again in 4.2s",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitExceeded {
    /// The remote address.
    pub ip: IpAddr,
    /// The subnet or network prefix whose rate was exceeded; `None` for the global rate.
    pub network: Option<IpNet>,
    /// When the next token is available if no other connection takes it; [`Duration::MAX`] if
    /// never.
    pub retry_after: Duration,
}

impl std::error::Error for RateLimitExceeded {}

impl fmt::Display for RateLimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            Some(network) => write!(f, "rate limit of {network}")?,
            None => f.write_str("global rate limit")?,
        }
        write!(f, " refused a connection from {}: ", self.ip)?;
        match self.retry_after {
            Duration::MAX => f.write_str("no further connections are allowed"),
            after => write!(f, "try again in {after:?}"),
        }
    }
}

/// Other requests wait for room in a scope, and a request does not overtake them: it was refused
/// although there may be room for it.
///
/// ```
/// use rcmgr_core::{Resource, ScopeId, WaitersFirst};
///
/// let refused = WaitersFirst {
///     scope: ScopeId::System.into(),
///     resource: Resource::Memory,
///     requested: 4096,
/// };
/// assert_eq!(
///     refused.to_string(),
///     "system refused 4096 bytes of memory: earlier requests wait for room",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{scope} refused {}: earlier requests wait for room",
    Requested(*requested, *resource, None)
)]
pub struct WaitersFirst {
    /// The scope that refused.
    pub scope: ScopeName,
    /// The resource that others wait for.
    pub resource: Resource,
    /// The amount requested: bytes for memory, a count for other resources.
    pub requested: u64,
}

/// As many requests wait for room in a scope as may, so one more was refused.
///
/// ```
/// use rcmgr_core::{QueueFull, Resource, ScopeId};
///
/// let refused = QueueFull {
///     scope: ScopeId::System.into(),
///     resource: Resource::ConnsInbound,
///     requested: 1,
///     waiting: 1024,
/// };
/// assert_eq!(
///     refused.to_string(),
///     "system refused 1 inbound connection: 1024 requests wait for room, the most allowed",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{scope} refused {}: {waiting} requests wait for room, the most allowed",
    Requested(*requested, *resource, None)
)]
pub struct QueueFull {
    /// The scope that refused.
    pub scope: ScopeName,
    /// The resource that the others wait for.
    pub resource: Resource,
    /// The amount requested: bytes for memory, a count for other resources.
    pub requested: u64,
    /// How many requests wait for this resource of the scope.
    pub waiting: u64,
}

/// An amount of a resource, as a sentence has it: `2 inbound streams`.
struct Requested(u64, Resource, Option<Direction>);

impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(amount, resource, direction) = self;
        let plural = if amount == 1 { "" } else { "s" };
        let direction = match resource {
            Resource::StreamsInbound | Resource::ConnsInbound => Some(Direction::Inbound),
            Resource::StreamsOutbound | Resource::ConnsOutbound => Some(Direction::Outbound),
            Resource::Memory | Resource::Fd | Resource::Streams | Resource::Conns => direction,
        };
        let space = if direction.is_some() { " " } else { "" };
        let direction = direction.map_or("", Direction::as_str);
        write!(f, "{amount} ")?;
        match resource {
            Resource::Memory => write!(f, "byte{plural} of memory"),
            Resource::Fd => write!(f, "file descriptor{plural}"),
            Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
                write!(f, "{direction}{space}stream{plural}")
            }
            Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound => {
                write!(f, "{direction}{space}connection{plural}")
            }
        }
    }
}

/// The limit that was reached, with the numbers.
///
/// ```
/// use rcmgr_core::{Direction, LimitExceeded, LimitValue, Resource, ScopeId};
///
/// let refused = LimitExceeded {
///     scope: ScopeId::Peer("tenant-7".parse()?).into(),
///     resource: Resource::StreamsInbound,
///     direction: Some(Direction::Inbound),
///     requested: 1,
///     used: 256,
///     limit: LimitValue::Limited(256),
///     priority: None,
/// };
/// assert_eq!(
///     refused.to_string(),
///     "peer:tenant-7 refused 1 inbound stream: 256 of 256 in use",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitExceeded {
    /// The scope that refused.
    pub scope: ScopeName,
    /// The resource whose limit was reached.
    pub resource: Resource,
    /// The direction requested, for a stream or connection. It is `None` when a scope moves to
    /// other scopes and a lowered limit refuses the total: such a move requests no particular
    /// direction.
    pub direction: Option<Direction>,
    /// The amount requested: bytes for memory, a count for other resources.
    pub requested: u64,
    /// The amount in use, in the same unit.
    pub used: u64,
    /// The limit, in the same unit; unlimited if the counter itself is full.
    pub limit: LimitValue,
    /// The priority of a memory reservation.
    pub priority: Option<Priority>,
}

impl LimitExceeded {
    /// Whether the request is larger than the limit, or than the part of it that its priority may
    /// use. Then it is refused even when the scope holds nothing, until the limit is raised.
    ///
    /// ```
    /// use rcmgr_core::{LimitExceeded, LimitValue, Priority, Resource, ScopeId};
    ///
    /// let refused = |requested| LimitExceeded {
    ///     scope: ScopeId::System.into(),
    ///     resource: Resource::Memory,
    ///     direction: None,
    ///     requested,
    ///     used: 50,
    ///     limit: LimitValue::Limited(100),
    ///     priority: Some(Priority::Medium), // 153/256 of the limit
    /// };
    /// assert!(!refused(59).is_larger_than_limit());
    /// assert!(refused(60).is_larger_than_limit());
    /// ```
    pub fn is_larger_than_limit(&self) -> bool {
        let LimitValue::Limited(limit) = self.limit else {
            return false;
        };
        let level = self.priority.map_or(u8::MAX, Priority::level);
        let most = u128::from(limit) * (u128::from(level) + 1) / 256;
        u128::from(self.requested) > most
    }
}

impl std::error::Error for LimitExceeded {}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scope,
            resource,
            requested,
            used,
            limit,
            ..
        } = self;
        let requested = Requested(*requested, *resource, self.direction);
        write!(f, "{scope} refused {requested}")?;
        if let Some(priority) = self.priority.filter(|&p| p != Priority::Always) {
            let percent = ((u32::from(priority.level()) + 1) * 100 + 128) / 256;
            write!(f, " at priority {priority} ({percent} % of the limit)")?;
        }
        write!(f, ": {used} of {limit} in use")?;
        match resource {
            Resource::Streams | Resource::Conns => f.write_str(", both directions together"),
            _ if *limit == LimitValue::Unlimited => f.write_str(", the counter is full"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScopeId;

    fn refused(resource: Resource, direction: Option<Direction>) -> LimitExceeded {
        LimitExceeded {
            scope: ScopeId::System.into(),
            resource,
            direction,
            requested: 1,
            used: 8,
            limit: LimitValue::Limited(8),
            priority: None,
        }
    }

    #[test]
    fn an_error_reads_as_a_sentence() {
        let memory = LimitExceeded {
            requested: 4096,
            priority: Some(Priority::Medium),
            ..refused(Resource::Memory, None)
        };
        let cases = [
            (
                memory,
                "system refused 4096 bytes of memory at priority medium (60 % of the limit): 8 of 8 in use",
            ),
            (
                refused(Resource::Conns, Some(Direction::Outbound)),
                "system refused 1 outbound connection: 8 of 8 in use, both directions together",
            ),
            (
                refused(Resource::Fd, Some(Direction::Inbound)),
                "system refused 1 file descriptor: 8 of 8 in use",
            ),
        ];
        for (error, line) in cases {
            assert_eq!(error.to_string(), line);
        }
    }
}
