//! The kinds of prepaid credit of a path.

use rcmgr_core::{Direction, Resource};

use crate::words::Resources;

/// A kind of prepaid credit of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In bytes.
    Memory,
    Streams(Direction),
}

impl Kind {
    pub const ALL: [Self; 3] = [
        Self::Memory,
        Self::Streams(Direction::Inbound),
        Self::Streams(Direction::Outbound),
    ];

    /// The position among [`ALL`](Self::ALL).
    #[inline]
    pub fn index(self) -> usize {
        match self {
            Self::Memory => 0,
            Self::Streams(direction) => 1 + direction as usize,
        }
    }

    /// The limits that an amount of this kind counts in.
    #[inline]
    pub fn resources(self) -> Resources {
        match self {
            Self::Memory => Resources::MEMORY,
            Self::Streams(direction) => Resources::of_stream(direction),
        }
    }

    /// The kinds whose credit uses this resource.
    pub fn of(resource: Resource) -> &'static [Self] {
        let [memory, inbound, _] = &Self::ALL;
        match resource {
            Resource::Memory => std::slice::from_ref(memory),
            Resource::StreamsInbound => std::slice::from_ref(inbound),
            Resource::StreamsOutbound => &Self::ALL[2..],
            Resource::Streams => &Self::ALL[1..],
            _ => &[],
        }
    }
}
