use std::fmt;

use crate::{Direction, LimitValue, Priority, Resource, ScopeName};

/// Why an operation was refused. Making one allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A scope's limit leaves no room for what was asked.
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    /// The scope was closed, or its owner, or the manager.
    #[error("{scope} is closed")]
    ScopeClosed {
        /// What was operated on; the system scope stands for the manager.
        scope: ScopeName,
    },
    /// A connection's peer, a stream's protocol or a service is set once.
    #[error("{scope} is already attached to a {to}")]
    AlreadyAttached {
        /// The connection or stream.
        scope: ScopeName,
        /// What it is attached to: a peer, a protocol or a service.
        to: crate::ScopeClass,
    },
    /// A stream needs its protocol before its service.
    #[error("{scope} has no protocol yet: set it before the service")]
    NoProtocol {
        /// The stream.
        scope: ScopeName,
    },
}

impl Error {
    /// Whether a retry with back-off may succeed: so for a limit that was reached, since others
    /// give back what they hold; not for a scope that is closed or attached.
    ///
    /// ```
    /// use rcmgr_core::{Error, ScopeId};
    ///
    /// let closed = Error::ScopeClosed { scope: ScopeId::Stream(1).into() };
    /// assert!(!closed.is_temporary());
    /// ```
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::LimitExceeded(_) => true,
            Self::ScopeClosed { .. } | Self::AlreadyAttached { .. } | Self::NoProtocol { .. } => {
                false
            }
        }
    }

    /// The scope that the error is about: for a limit, the one that refused.
    pub const fn scope(&self) -> &ScopeName {
        match self {
            Self::LimitExceeded(LimitExceeded { scope, .. })
            | Self::ScopeClosed { scope }
            | Self::AlreadyAttached { scope, .. }
            | Self::NoProtocol { scope } => scope,
        }
    }
}

/// Which limit was reached, and how.
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
    /// The limit of it that was reached.
    pub resource: Resource,
    /// The direction asked for, of a stream or connection. A move that asks for no slot in a
    /// direction can still find the total over a lowered limit: then there is none.
    pub direction: Option<Direction>,
    /// How much was asked: bytes of memory, else a count.
    pub requested: u64,
    /// How much of the resource was in use, in the same unit.
    pub used: u64,
    /// The limit, in the same unit. It is unlimited where the counter itself is full.
    pub limit: LimitValue,
    /// The priority, of memory.
    pub priority: Option<Priority>,
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
        let plural = if *requested == 1 { "" } else { "s" };
        write!(f, "{scope} refused {requested} ")?;
        let direction = self.direction.map_or("", Direction::as_str);
        let space = if direction.is_empty() { "" } else { " " };
        match resource {
            Resource::Memory => write!(f, "byte{plural} of memory")?,
            Resource::Fd => write!(f, "file descriptor{plural}")?,
            Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
                write!(f, "{direction}{space}stream{plural}")?;
            }
            Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound => {
                write!(f, "{direction}{space}connection{plural}")?;
            }
        }
        if let Some(priority) = self.priority.filter(|&p| p != Priority::Always) {
            let percent = ((u32::from(priority.level()) + 1) * 100 + 128) / 256;
            write!(
                f,
                " at priority {} ({percent} % of the limit)",
                priority.level()
            )?;
        }
        write!(f, ": {used} of {limit} in use")?;
        match resource {
            Resource::Streams | Resource::Conns => f.write_str(", both directions together"),
            _ if *limit == LimitValue::Unlimited => f.write_str(", as much as can be counted"),
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
                "system refused 4096 bytes of memory at priority 152 (60 % of the limit): 8 of 8 in use",
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
