//! A warning: its setting, its kind, and its text.

use std::fmt;

use rcmgr_core::{LimitField, LimitsKey, Resource};

use crate::{AddressKey, ByteSize};

/// A limit that cannot have the effect that it seems to have. It is not an error.
///
/// [`LimitsExt::warnings`](crate::LimitsExt::warnings) lists the checks. Its text starts with the
/// setting in the spelling of limits files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The setting that it is about.
    pub setting: Setting,
    /// The problem.
    pub kind: WarningKind,
}

/// A setting of a limits file: what a [`Warning`] is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// A field of a scope's limit.
    Field(LimitField),
    /// A limit by address.
    Address(AddressKey),
    /// The dry run.
    DryRun,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => fmt::Display::fmt(field, f),
            Self::Address(key) => fmt::Display::fmt(key, f),
            Self::DryRun => f.pad("DryRun"),
        }
    }
}

impl Setting {
    pub(super) fn field(key: LimitsKey, resource: Resource) -> Self {
        Self::Field(LimitField { key, resource })
    }
}

/// The problem that a [`Warning`] reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// The limit is over the limit of the scope above, which refuses first.
    OverParent {
        /// This limit.
        limit: u64,
        /// The scope above.
        parent: LimitsKey,
        /// The limit of the scope above.
        parent_limit: u64,
    },
    /// The limit of one direction is over the limit of both directions together.
    OverTotal {
        /// This limit.
        limit: u64,
        /// The limit of both directions together.
        total: u64,
    },
    /// The limit is more than the process can have.
    OverMachine {
        /// This limit.
        limit: u64,
        /// The amount that the process can have.
        machine: u64,
    },
    /// A service may have connections or descriptors, but each peer's share of them is zero, so no
    /// connection with a peer can be attached to the service.
    NoneForPeers {
        /// This limit.
        limit: u64,
        /// The entry of the share per peer.
        share: LimitsKey,
    },
    /// The total is above zero, but both directions are zero.
    NoDirection {
        /// This limit.
        limit: u64,
    },
    /// The limit allows nothing, so nothing of the scope can be opened or reserved.
    BlocksEverything,
    /// The scope has far fewer file descriptors than connections, and a TCP connection needs one.
    FewDescriptors {
        /// The file descriptors.
        fds: u64,
        /// The connections.
        conns: u64,
    },
    /// The scope has fewer streams than connections, so some connections have no stream.
    FewStreams {
        /// The streams.
        streams: u64,
        /// The connections.
        conns: u64,
    },
    /// The memory is too little for the buffers of all connections.
    LittleMemory {
        /// The memory, in bytes.
        memory: u64,
        /// The connections.
        conns: u64,
    },
    /// A limit by address refuses first.
    AddressFirst {
        /// This limit.
        limit: u64,
        /// The limit by address.
        by: AddressKey,
        /// The number of connections that it lets in.
        allowed: u64,
    },
    /// A rate lets fewer connections in at once than another setting allows.
    SmallBurst {
        /// The connections at once.
        burst: u32,
        /// The other setting.
        other: Setting,
        /// The connections that the other setting allows.
        conns: u64,
    },
    /// A rate of zero refuses every connection after the first ones.
    NoRefill {
        /// The connections at once.
        burst: u32,
    },
    /// All addresses that the limit is for are trusted, so it has no effect.
    Trusted,
    /// There is an allowlist, but the scopes of allowlisted connections let none in.
    AllowlistBlocked {
        /// The setting that lets none in.
        by: LimitField,
    },
    /// The dry run is the same as the enforced limits, so it shows nothing.
    SameAsEnforced,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = match &self.setting {
            Setting::Field(field) => field.resource,
            Setting::Address(_) | Setting::DryRun => Resource::Conns,
        };
        let amount = |amount: &u64| match resource {
            Resource::Memory => ByteSize(*amount).to_string(),
            _ => amount.to_string(),
        };
        write!(f, "{}: ", self.setting)?;
        match &self.kind {
            WarningKind::OverParent {
                limit,
                parent,
                parent_limit,
            } => write!(
                f,
                "{} cannot be reached: {parent} allows {}",
                amount(limit),
                amount(parent_limit)
            ),
            WarningKind::OverTotal { limit, total } => write!(
                f,
                "{} cannot be reached: the limit of both directions together is {}",
                amount(limit),
                amount(total)
            ),
            WarningKind::OverMachine { limit, machine } => write!(
                f,
                "{} is more than the {} that this process can have",
                amount(limit),
                amount(machine)
            ),
            WarningKind::NoneForPeers { limit, share } => {
                write!(f, "{} cannot be used: {share} allows none", amount(limit))
            }
            WarningKind::NoDirection { limit } => write!(
                f,
                "{} cannot be used: the limits of both directions are 0",
                amount(limit)
            ),
            WarningKind::BlocksEverything => f.write_str(match resource {
                Resource::Memory => "no memory is allowed, so none can be reserved",
                Resource::Fd => {
                    "no file descriptors are allowed, so no TCP connection can be opened"
                }
                Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
                    "no streams are allowed, so none can be opened"
                }
                Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound => {
                    "no connections are allowed, so none can be opened"
                }
            }),
            WarningKind::FewDescriptors { fds, conns } => write!(
                f,
                "{fds} file descriptors stop TCP connections far below the {conns} that Conns allows"
            ),
            WarningKind::FewStreams { streams, conns } => write!(
                f,
                "{streams} streams are fewer than the {conns} connections that are allowed, and each \
                 needs one"
            ),
            WarningKind::LittleMemory { memory, conns } => write!(
                f,
                "{} are less than 1 KiB for each of the {conns} connections that are allowed",
                ByteSize(*memory)
            ),
            WarningKind::AddressFirst { limit, by, allowed } => write!(
                f,
                "{limit} cannot be reached from one address: {by} allows {allowed}"
            ),
            WarningKind::SmallBurst {
                burst,
                other,
                conns,
            } => write!(
                f,
                "lets {burst} connections in at once, fewer than the {conns} that {other} allows"
            ),
            WarningKind::NoRefill { burst } => write!(
                f,
                "lets {burst} connections in, and then none for as long as the process runs"
            ),
            WarningKind::Trusted => {
                f.write_str("has no effect: all its addresses are in Addresses.Trusted")
            }
            WarningKind::AllowlistBlocked { by } => {
                write!(f, "has no effect: {by} lets no connection in")
            }
            WarningKind::SameAsEnforced => {
                f.write_str("the limits are the same as the enforced ones, so it shows nothing")
            }
        }
    }
}
